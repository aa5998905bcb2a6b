"""The stages that make captions: a post's text split over its images, and private details proposed for removal."""

from dataclasses import replace

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.db import transaction
from app.prefilter import due, queries
from app.prefilter.policies import StageInput, StageResult, Version
from app.prefilter.privacy import OF_TEXT
from app.prefilter.stages import BY_NAME
from app.tables import (
    Author,
    Candidate,
    CandidateState,
    Caption,
    CaptionKind,
    Finding,
    FindingNow,
    Outcome,
    Post,
    Stage,
)
from tests.factories import make_candidate
from tests.prefilter.test_pipeline import quiet, states, work  # noqa: F401  # `quiet` is a fixture
from workers.stages import private

S = CandidateState
own_database = pytest.mark.usefixtures("own_database", "quiet")

SHOWN = "Nodular melanoma of the skin, H&E, 10x, with ulceration and brisk mitoses."
TOLD = (
    "A 92-year-old woman, Mrs. Eleanor Whitfield, seen on 12 March 2023 at St. Mary's Hospital, MRN 1234567. "
    "Nodular melanoma with ulceration and brisk mitoses, Reed-Sternberg-like cells, Masson trichrome, 40x."
)


def arrive(session: Session, caption: str, stage: str = "private") -> int:
    candidate = make_candidate(session, S.FILTERING, caption)
    due.due(session, BY_NAME[stage], [candidate.id])
    return candidate.id


def on_offer(session: Session, candidate_id: int) -> str:
    caption_id = session.get_one(Candidate, candidate_id).caption_id
    return session.get_one(Caption, caption_id).text or ""


def finding(session: Session, candidate_id: int, stage: str = "private") -> Finding:
    now = session.get_one(FindingNow, (candidate_id, stage))
    return session.get_one(Finding, now.finding_id)


@own_database
def test_private_details_are_proposed_for_removal_and_the_original_stays() -> None:
    with transaction() as session:
        id_ = arrive(session, TOLD)
    work()
    with transaction() as session:
        assert states()[id_] == (S.QUEUED, None)
        assert on_offer(session, id_) == (
            "A woman, seen. Nodular melanoma with ulceration and brisk mitoses, Reed-Sternberg-like cells, "
            "Masson trichrome, 40x."
        )
        versions = session.scalars(select(Caption).where(Caption.candidate_id == id_).order_by(Caption.version)).all()
        assert [(one.kind, one.made_by.split()[0]) for one in versions] == [
            (CaptionKind.RAW, "import"),
            (CaptionKind.PROPOSED, "private"),
        ]
        assert versions[1].based_on == versions[0].id


@own_database
def test_what_a_kind_does_is_the_setting() -> None:
    with transaction() as session:
        actions = {"date": "warn", "age": "pass", "name": "redact", "place": "redact", "record_number": "hold"}
        session.execute(update(Stage).where(Stage.name == "private").values(setting={"actions": actions}))
        warned = arrive(session, "Melanoma with ulceration, biopsy of 12 March 2023.")
        held = arrive(session, "Melanoma with ulceration, MRN 1234567.")
    work()
    with transaction() as session:
        assert states()[warned] == (S.QUEUED, None)
        assert on_offer(session, warned) == "Melanoma with ulceration, biopsy of 12 March 2023."
        assert states()[held] == (S.FLAGGED, "private")
        assert on_offer(session, held) == "Melanoma with ulceration.", "as it is offered once an admin lets it go"


@own_database
def test_an_older_proposal_goes_when_the_setting_no_longer_asks_for_it() -> None:
    caption = "Melanoma with ulceration, biopsy of 12 March 2023."
    with transaction() as session:
        id_ = arrive(session, caption)
    work()
    with transaction() as session:
        assert on_offer(session, id_) == "Melanoma with ulceration, biopsy."
        session.execute(update(Stage).where(Stage.name == "private").values(setting={"actions": {"date": "pass"}}))
        session.execute(update(Candidate).where(Candidate.id == id_).values(state=S.FILTERING))
        due.due(session, BY_NAME["private"], [id_])
    work()
    with transaction() as session:
        assert on_offer(session, id_) == caption


def looked(caption: str, *, handle_of: str = "", **actions: str) -> StageResult:
    """What the stage says of a caption, each kind taken out but for those with another action."""
    item = StageInput(1, 1, "a" * 64, 5, caption, handle=handle_of, versions=[Version(5, "import", caption)])
    taken_out = dict.fromkeys(OF_TEXT, "redact")
    return private.run([item], {"actions": taken_out | actions}, None)[0]  # type: ignore[arg-type]


def test_the_finding_says_where_and_what_kind_and_holds_no_word_of_the_caption() -> None:
    evidence = looked(TOLD).evidence
    assert evidence["caption"] == 5
    assert evidence["kinds"] == {"age": 1, "name": 1, "date": 1, "place": 1, "record_number": 1}
    found = {span["kind"]: TOLD[span["start"] : span["end"]] for span in evidence["spans"]}
    assert (found["age"], found["record_number"]) == ("92-year-old", "MRN 1234567")
    assert "Whitfield" not in str(evidence)


def test_a_caption_without_private_details_is_offered_as_it_is() -> None:
    result = looked(SHOWN)
    assert (result.evidence["kinds"], [offer.text for offer in result.offers]) == ({}, [SHOWN])


def test_a_candidate_without_a_caption_has_no_private_details() -> None:
    result = private.run([StageInput(1, 1, "a" * 64, None, "")], {}, None)[0]  # type: ignore[arg-type]
    assert (result.evidence["kinds"], list(result.offers)) == ({}, [])


def test_a_caption_of_nothing_but_private_details_is_kept_and_said() -> None:
    result = looked("Mrs. Eleanor Whitfield, MRN 1234567")
    assert (result.label, result.offers[0].text) == ("nothing left", "Mrs. Eleanor Whitfield, MRN 1234567")


def test_the_posters_own_handle_stays_and_those_of_others_are_taken_out() -> None:
    caption = "Melanoma with ulceration, by @Path_Demo.01, shared by @some.patient"
    result = looked(caption, handle_of="path_demo.01")
    assert result.evidence["kinds"] == {"own_handle": 1, "handle": 1}
    assert result.offers[0].text == "Melanoma with ulceration, by @Path_Demo.01, shared by"
    assert looked(caption, handle_of="").evidence["kinds"] == {"handle": 2}
    assert "@" not in looked(caption, handle_of="path_demo.01", own_handle="redact").offers[0].text


def test_a_stage_is_told_the_handle_of_who_posted_it(session: Session) -> None:
    candidate = make_candidate(session)
    author = session.get_one(Author, session.get_one(Post, candidate.post_id).author_id)
    author.label = "path_demo"
    session.flush()
    (item,) = queries.inputs(session, [candidate.id])
    assert item.handle == "path_demo"
    known, unknown = (private.looked_at(replace(item, handle=handle), {}) for handle in ("path_demo", ""))
    assert known != unknown


def test_rules_find_private_details_in_a_language_the_model_does_not_know() -> None:
    result = looked("Paciente: María López Pérez, melanoma nodular de la piel con ulceración, 12/03/2023.")
    assert result.offers[0].text == "melanoma nodular de la piel con ulceración."


@pytest.mark.parametrize(
    "text", ["\x00\u200b", "🔬" * 50, "(" * 5_000, "1/" * 5_000, "A. " * 5_000, "皮膚" * 2_000, "@" * 99]
)
def test_any_text_is_looked_at(text: str) -> None:
    result = looked(text)
    assert result.outcome is Outcome.OK
    assert all(0 <= span["start"] < span["end"] <= len(text) for span in result.evidence["spans"])


def test_the_same_caption_under_another_setting_is_another_question() -> None:
    item = StageInput(1, 1, "a" * 64, 5, SHOWN, versions=[Version(5, "import", SHOWN), Version(6, "private 1", "x")])
    one, other = (private.looked_at(item, {"actions": {"date": action}}) for action in ("pass", "redact"))
    assert one != other
    assert one[0] == 5


# --- carousels ----------------------------------------------------------------------------------


def carousel(session: Session, caption: str, images: int) -> list[int]:
    """A post with this many images, which wait for the caption stage."""
    first = make_candidate(session, S.FILTERING, caption)
    post, places = session.get_one(Post, first.post_id), range(2, images + 1)
    candidates = [first, *(make_candidate(session, S.FILTERING, caption, post=post, position=at) for at in places)]
    due.due(session, BY_NAME["caption"], [candidate.id for candidate in candidates])
    return [candidate.id for candidate in candidates]


@own_database
def test_each_image_of_a_post_gets_its_part_of_the_caption_cleaned() -> None:
    caption = (
        "Nodular melanoma of the skin #dermpath\n"
        "A: low power view with ulceration of the epidermis 🔬\nB: nests of atypical melanocytes, H&E, 40x"
    )
    with transaction() as session:
        first, second = carousel(session, caption, 2)
    work()
    with transaction() as session:
        assert on_offer(session, first) == (
            "Nodular melanoma of the skin\nlow power view with ulceration of the epidermis"
        )
        assert on_offer(session, second) == ("Nodular melanoma of the skin\nnests of atypical melanocytes, H&E, 40×")
        offered = session.get_one(Candidate, second).caption_id
        assert offered
        line = queries.lineages(session, [offered])[offered]
        assert [version.made_by for version in line] == ["import", "carousel 1", "rules 1"]
        assert finding(session, second, "caption").evidence["part"] == {"image": 2, "images": 2}


@own_database
def test_a_caption_that_names_no_images_stays_whole() -> None:
    with transaction() as session:
        first, second = carousel(session, SHOWN, 2)
    work()
    with transaction() as session:
        assert on_offer(session, first) == on_offer(session, second) == SHOWN.replace("10x", "10×")
        assert "part" not in finding(session, first, "caption").evidence
