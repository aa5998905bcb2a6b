from datetime import UTC, datetime
from typing import Any

from app.candidates.verdicts import verdicts
from app.curation.queries import Found

AT = datetime(2026, 11, 24, tzinfo=UTC)


def found(stage: str, score: float | None = None, outcome: str = "ok", **more: Any) -> dict[str, Found]:
    values = {"label": None, "stale": False, "evidence": {}} | more
    return {stage: Found(stage, outcome, score, version="1", at=AT, **values)}


def test_the_verdict_is_todays_threshold_on_the_stored_score() -> None:
    domain = found("domain", 0.6, evidence={"by": "head 5", "encoder": "ViT-B/32"})
    (row,) = verdicts(domain, {"domain": 0.5})
    assert (row.word, row.tone, row.evidence) == ("pass", "ok", "head 5 on ViT-B/32, threshold 0.5")
    (row,) = verdicts(domain, {"domain": 0.7})
    assert (row.word, row.tone) == ("stops", "bad")


def test_a_picture_that_the_classifier_learned_from_says_so() -> None:
    evidence = {"by": "head 2 on EfficientNet-Lite0", "encoder": "EfficientNet-Lite0"}
    assert verdicts(found("domain", 0.9, evidence=evidence), {})[0].evidence == "head 2 on EfficientNet-Lite0"
    (row,) = verdicts(found("domain", 0.9, evidence=evidence | {"held_out": True}), {})
    assert row.evidence == "head 2 on EfficientNet-Lite0, cross-validated as it learned from this picture"


def test_what_was_not_run_or_failed_says_so_and_why() -> None:
    (row,) = verdicts(found("domain", outcome="not_run", evidence={"why": "no classifier"}), {"domain": 0.5})
    assert (row.word, row.evidence) == ("not run", "no classifier, threshold 0.5")
    (row,) = verdicts(found("quality", outcome="error", evidence={"error": "OSError"}), {"quality": 0.2})
    assert row.word == "failed"
    assert "OSError" in row.evidence


def test_a_dropped_copy_names_the_one_that_was_kept() -> None:
    copy = found("sameness", 0.0, label="copy", evidence={"copies": 2, "kept": 7})
    (row,) = verdicts(copy, {"sameness": 0.5})
    assert (row.word, row.evidence, row.score) == ("stops", "a copy of C-7", None)
    kept = found("sameness", 1.0, label="kept", evidence={"copies": 2, "kept": 7})
    assert verdicts(kept, {"sameness": 0.5})[0].evidence == "kept of 3 that look the same"
    alone = found("sameness", 1.0, label="only", evidence={"copies": 0})
    assert verdicts(alone, {"sameness": 0.5})[0].evidence == "no other copy"


def test_a_cleaned_caption_says_what_went() -> None:
    evidence = {"removed": 4, "kinds": {"emoji": 2, "hashtag": 2}}
    (row,) = verdicts(found("caption", 0.8, evidence=evidence), {"caption": 0.2})
    assert (row.word, row.evidence) == ("cleaned", "out: 2 emoji, 2 hashtags, threshold 0.2")


def test_a_caption_split_over_its_images_says_which_part_it_is() -> None:
    evidence = {"removed": 1, "kinds": {"emoji": 1}, "part": {"image": 2, "images": 3}}
    [row] = verdicts(found("caption", 0.9, evidence=evidence), {})
    assert row.evidence == "the part for image 2 of 3, out: 1 emoji"


def test_what_is_on_the_picture_is_counted_by_kind() -> None:
    boxes = [{"kind": kind} for kind in ("panel", "panel", "arrow", "interface", "lettering")]
    (row,) = verdicts(found("panels", label="screenshot", evidence={"boxes": boxes, "crop": {"x": 0}}), {})
    assert (row.word, row.score) == ("pass", None)
    assert row.evidence == "2 panels, 1 arrow, 1 interface bar, 1 lettering, a crop is offered"
    assert verdicts(found("panels", label="image", evidence={"boxes": []}), {})[0].evidence == "nothing but the image"


def test_a_language_stops_only_where_it_is_not_reviewed() -> None:
    german = found("language", 0.97, label="de")
    assert [verdicts(german, {}, reviewed)[0].word for reviewed in (None, ["de", "en"], ["en"])] == [
        "pass",
        "pass",
        "stops",
    ]
    assert verdicts(german, {})[0].evidence == "German"
    assert verdicts(found("language", 0.0, label="und"), {})[0].evidence == "Undetermined"


def test_alignment_shows_its_raw_figures_and_no_threshold_of_0() -> None:
    evidence = {"cosine": 0.31, "rank": 2.5, "negatives": 15, "agreement": 2 / 3}
    (row,) = verdicts(found("alignment", 0.775, evidence=evidence), {"alignment": 0.0})
    assert (row.word, row.score) == ("pass", 0.775)
    assert row.evidence == "cosine 0.310, rank 2.5 of 16 captions, agrees in 67% of turned views"
    alone = {"cosine": 0.31, "rank": None, "negatives": 0, "agreement": None}
    assert verdicts(found("alignment", 0.775, evidence=alone), {})[0].evidence == "cosine 0.310"


def test_rows_stand_in_the_order_of_the_stages_and_stale_ones_say_so() -> None:
    both = found("caption", 0.8) | found("quality", 0.9, stale=True, label="sharp")
    rows = verdicts(both, {})
    assert [row.title for row in rows] == ["Quality", "Caption"]
    assert rows[0].word == "pass, runs again"
