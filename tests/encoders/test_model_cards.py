"""What is said of a model that a run made: where it came from, how well it does, and what was withdrawn since."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.curation import moves
from app.encoders import queries
from app.encoders.card import card
from app.encoders.figures import figures_of, recall
from app.snapshots.freezing import freeze
from app.tables import Encoder, Run, RunEpoch, Snapshot, Weights
from tests.factories import make_encoder
from tests.snapshots.test_snapshot_job import accepted
from tests.web_client import SignIn

SIDE = {
    "R@1": 0.25,
    "R@10": 0.625,
    "intervals": {"R@1": None, "R@10": [0.5, 0.75]},
    "pool": 1200,
    "chance": {"R@1": 0.001, "R@10": 0.01},
}
BOTH = {"image_to_text": SIDE, "text_to_image": SIDE | {"R@10": 0.375}}
AFTER = {"accuracy": 0.5, "low": 0.4, "high": 0.6, "chance": 0.02, "n": 192}
REPORT: dict[str, Any] = {
    "retrieval": {"strict": BOTH, "grouped": BOTH},
    "forgetting": {"before": None, "after": AFTER},
    "data": {"pairs": 41200},
}
VALIDATION = {"image_to_text_R@1": 0.2, "image_to_text_R@10": 0.5, "text_to_image_R@1": 0.1, "text_to_image_R@10": 0.4}


def made_by_run(session: Session, snapshot: Snapshot | None, base: Encoder | None, **values: Any) -> Encoder:
    model = make_encoder(session, **values)
    start = {"base_id": base.id} if base else {"architecture": "ViT-B-32"}
    run = Run(
        snapshot_id=snapshot.id if snapshot else None,
        recipe="ip-clip",
        settings={"epochs": 3},
        encoder_id=model.id,
        best_epoch=2,
        report=REPORT,
        **start,
    )
    session.add(run)
    session.flush()
    session.add(RunEpoch(run_id=run.id, epoch=2, metrics=VALIDATION))
    session.flush()
    return model


@pytest.fixture
def chain(session: Session) -> dict[str, Any]:
    """v0001 → first, made from CLIP; v0002, another author's pair more → second, made from first."""
    ids = accepted(session, 3)
    one = freeze(session, None, None, 0, 0, "")
    ids += accepted(session, 1)
    session.execute(text("DROP TABLE cut, cut_split"))
    two = freeze(session, None, None, 0, 0, "")
    clip = make_encoder(session, name="CLIP", model="ViT-B-32", pretrained="openai", checksum="cd" * 32)
    first = made_by_run(session, one, clip, name="ip-clip v0001", licence="MIT")
    second = made_by_run(session, two, first, name="ip-clip v0002")
    return {"ids": ids, "clip": clip, "first": first, "second": second, "one": one, "two": two}


def test_a_model_is_touched_by_what_was_withdrawn_of_its_own_data_and_of_its_bases(
    session: Session, chain: dict[str, Any], sign_in: SignIn
) -> None:
    clip, first, second = chain["clip"], chain["first"], chain["second"]
    every = [clip.id, first.id, second.id]
    assert queries.withdrawn(session, every) == {}
    moves.withdraw(session, [chain["ids"][3]])  # only in v0002
    assert queries.withdrawn(session, every) == {second.id: 1}
    moves.withdraw(session, [chain["ids"][0]])  # in both, and counted once
    assert queries.withdrawn(session, every) == {first.id: 1, second.id: 2}
    fir = sign_in("fir")
    page = fir.get("/models").text
    assert page.count("Learned from") == 2
    assert "Learned from 2 pairs that were withdrawn since" in page
    assert "Learned from 1 pair that was withdrawn since" in fir.get(f"/models/{first.id}").text
    assert "Learned from" not in fir.get(f"/models/{clip.id}").text
    assert "Learned from 2 pairs that were withdrawn since" in card_of(session, second)


def test_pairs_that_a_model_did_not_learn_from_do_not_touch_it(session: Session) -> None:
    ids = accepted(session, 4)
    snapshot = freeze(session, None, None, 1, 2, "")
    model = made_by_run(session, snapshot, None)
    rows = session.execute(
        text("SELECT candidate_id, split FROM snapshot_member WHERE snapshot_id = :id"), {"id": snapshot.id}
    )
    held_out = [candidate for candidate, split in rows if split != "train"]
    assert len(held_out) == 3
    moves.withdraw(session, held_out)
    assert queries.withdrawn(session, [model.id]) == {}
    moves.withdraw(session, ids)
    assert queries.withdrawn(session, [model.id]) == {model.id: 1}


def card_of(session: Session, model: Encoder) -> str:
    return card(queries.one_shown(session, model.id), queries.line(session, model.id), "folder")


def test_a_card_says_where_a_model_came_from_and_how_its_figures_were_taken(
    session: Session, chain: dict[str, Any]
) -> None:
    said = card_of(session, chain["second"])
    front, _, body = said.removeprefix("---\n").partition("\n---\n")
    assert 'library_name: "open_clip"' in front.splitlines()
    assert 'license_name: "MIT"' in front.splitlines()
    for part in (
        "on snapshot v0002 (41,200 pairs), from ip-clip v0001; recipe IP-CLIP's start point, best epoch 2",
        "on snapshot v0001 (41,200 pairs), from CLIP",
        f"It starts from CLIP: Hub, weights {'cd' * 32}",
        "Settings: epochs 3",
        "| R@10, image to text | 62.5% (50.0% to 75.0%) | 1,200 validation pairs, by which its epoch was chosen",
        "| Zero-shot accuracy | 50.0% (40.0% to 60.0%) | colour and shape of 192 drawn pictures",
        "Not for diagnosis",
        'open_clip.create_model_and_transforms("local-dir:folder")',
    ):
        assert part in body, part


def test_names_of_others_are_read_neither_as_markdown_nor_as_yaml(session: Session) -> None:
    name = 'x"]\nlicense: mit\n# <script>'
    model = make_encoder(session, name=name, licence="MIT\ntags: [evil]", weights=Weights.RANDOM)
    said = card_of(session, model)
    assert "\nlicense: mit" not in said
    assert "\ntags: [evil]" not in said
    assert "<script>" not in said.replace("\\<", "")
    assert "**Its weights are random: it was never trained" in said


def test_the_list_shows_run_snapshot_and_figures_and_the_page_how_they_were_taken(
    session: Session, chain: dict[str, Any], sign_in: SignIn
) -> None:
    elm, first = sign_in("elm"), chain["first"]
    page = elm.get("/models").text
    assert "Base of 1 run" in page
    assert 'href="/snapshots/1">snapshot v0001</a>' in page
    assert page.count("50.0\N{NO-BREAK SPACE}%") == 4  # two models, R@10 of both directions and zero-shot
    page = elm.get(f"/models/{first.id}").text
    recipe = "recipe IP-CLIP&#39;s start point, best epoch 2"
    for part in (recipe, "62.5\N{NO-BREAK SPACE}%", "nothing of pathology", ">CLIP</a>"):
        assert part in page, part
    assert f'action="/models/{first.id}/delete"' not in page
    assert "while something stands on it: run" in page


def test_a_researcher_reads_models_and_changes_none(session: Session, sign_in: SignIn) -> None:
    model = make_encoder(session)
    fir = sign_in("fir")
    page = fir.get(f"/models/{model.id}").text
    assert "What can be done" not in page
    assert "Add a model" not in fir.get("/models").text
    for act in ("use", "index", "package", "delete"):
        assert fir.post(f"/models/{model.id}/{act}").status_code == 403
    assert 'href="/models"' in fir.get("/snapshots").text


def test_before_anything_was_measured_the_trainer_s_own_validation_stands_there() -> None:
    found = figures_of({}, VALIDATION, 4)
    assert [(figure.name, figure.value) for figure in found] == [
        ("R@1, image to text", 0.2),
        ("R@1, text to image", 0.1),
        ("R@10, image to text", 0.5),
        ("R@10, text to image", 0.4),
    ]
    assert "by which epoch 4 was chosen" in found[0].protocol
    assert (recall({}, VALIDATION), recall({}, {}), recall(REPORT, {})) == (pytest.approx(0.45), None, 0.5)
