"""The proof: drawn pairs with known truth, through the whole product by real processes, become a model that has learnt.

Import, stages, review, freezing and training are those of the product; nothing is set aside for the pairs.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from app.curation import moves
from app.tables import Author, Candidate, CandidateState, Encoder, Post, Run, RunStep, Snapshot, Weights
from app.training.architectures import config_path
from app.training.command import Data, snapshot_data
from app.training.forms import filled
from app.training.settings import BY_NAME, PRACTICE_ARCHITECTURE
from bench import made_set
from bench.browser import signed_in
from tests.browser.conftest import Site, monkeypatch_module, site, worker  # noqa: F401  # fixtures
from workers.measuring import held_out
from workers.ml import drawn
from workers.ml.encoder import Encoder as Network
from workers.ml.encoder import EncoderSpec, load_encoder
from workers.ml.retrieval import retrieval
from workers.ml.zero_shot import class_vectors
from workers.vectors import load

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("worker")]
PAIRS, AUTHORS, VAL = 120, 40, 24
FIXED = {"count": 1, "texture": "plain", "background": "grey"}
SEED = 5
TEMPLATES = ("A drawing of one {}.", "Drawn on grey: one {}.")
SHORT = replace(
    BY_NAME["scratch"].settings, epochs=16, batch_size=12, learning_rate=2e-3, warmup_steps=10, best_by="loss"
)


def told_apart(network: Network) -> float:
    """Accuracy of zero-shot by colour on pictures that were never in the product; chance is 1 in 8."""
    unseen = list(drawn.pairs(160, SEED + 1, made_set.SIDE, **FIXED))
    names = drawn.zero_shot_classes("colour")
    classes = class_vectors(network.embed_texts, TEMPLATES, list(names.values()))
    guesses = np.argmax(network.embed_images([pair.jpeg for pair in unseen]) @ classes.T, axis=1)
    keys = list(names)
    return float(np.mean([keys[guess] == (pair.truth.colour,) for guess, pair in zip(guesses, unseen, strict=True)]))


@pytest.fixture
def snapshot(site: Site) -> int:  # noqa: F811
    """The drawn pairs, imported, filtered, accepted in the review page, frozen and written."""
    made_set.write_posts(site.home / "inbox", PAIRS, AUTHORS, SEED, **FIXED)
    with signed_in(site.url, "elm") as admin, signed_in(site.url, "alder") as reviewer:
        made_set.import_posts(admin)
        made_set.wait(site.database_url, 900)
        assert made_set.accept_all(reviewer) == PAIRS
        made_set.freeze(admin, VAL)
        made_set.wait(site.database_url, 300)
    with site.session() as session:
        found = session.scalars(select(Snapshot)).one()
        assert found.report["counts"] == {"train": PAIRS - VAL, "val": VAL, "test": 0, "reserve": 0}
        assert found.report["beyond_context"] == {"context": 77, "captions": PAIRS, "share": 0.0}
        return found.number


def test_drawn_pairs_become_a_model_that_names_what_it_never_saw(site: Site, snapshot: int) -> None:  # noqa: F811
    with signed_in(site.url, "elm") as admin:
        start = {"snapshot": str(snapshot), "architecture": PRACTICE_ARCHITECTURE}
        number = made_set.train(admin, filled(SHORT), **start)
        made_set.wait(site.database_url, 900)
        page = admin.get(f"/runs/{number}").text
    with site.session() as session:
        run = session.get_one(Run, number)
        losses = session.scalars(select(RunStep.loss).where(RunStep.run_id == number).order_by(RunStep.step)).all()
        model = session.get_one(Encoder, run.encoder_id)
        made = session.get_one(Snapshot, run.snapshot_id)
    assert len(losses) == SHORT.epochs * (PAIRS - VAL) // SHORT.batch_size
    assert np.mean(losses[-6:]) < 0.5 * np.mean(losses[:6])
    untrained = load_encoder(EncoderSpec("open_clip", str(config_path(PRACTICE_ARCHITECTURE))))
    held_out_recall_rises(run.report["retrieval"]["strict"], snapshot_data(made), untrained)
    assert (model.weights, model.provenance["run"]) == (Weights.TRAINED, number)
    assert model.name in page
    before, after = told_apart(untrained), told_apart(load(model))
    assert before < 0.3
    assert after > 0.45  # 12 standard errors above chance
    withdraw_an_author_and_the_next_run_is_refused(site, snapshot)


def held_out_recall_rises(reached: dict[str, Any], data: Data, untrained: Network) -> None:
    """R@1 of both directions, beside chance and beside the same network before it was trained."""
    pairs = held_out(data, drawn=False)
    before = retrieval(
        untrained.embed_images([pair.jpeg for pair in pairs]),
        untrained.embed_texts([pair.caption for pair in pairs]),
        [pair.labels for pair in pairs],
        [pair.author for pair in pairs],
    )["strict"]
    for way in ("image_to_text", "text_to_image"):
        assert reached[way]["intervals"]["R@1"][0] > reached[way]["chance"]["R@1"]
    assert recall(reached) > 4 * reached["image_to_text"]["chance"]["R@1"]
    assert recall(reached) > 3 * recall(before)


def recall(strict: dict[str, Any]) -> float:
    return (strict["image_to_text"]["R@1"] + strict["text_to_image"]["R@1"]) / 2


def withdraw_an_author_and_the_next_run_is_refused(site: Site, snapshot: int) -> None:  # noqa: F811
    with site.session() as session:
        author = session.scalars(select(Author.id).order_by(Author.id).limit(1)).one()
        theirs = select(Candidate.id).join(Post).where(Post.author_id == author)
        ids = session.scalars(theirs.where(Candidate.state == CandidateState.ACCEPTED)).all()
        assert len(moves.withdraw(session, ids)) == PAIRS // AUTHORS
    with signed_in(site.url, "elm") as admin:
        asked = filled(SHORT) | {"snapshot": str(snapshot), "base": "", "architecture": PRACTICE_ARCHITECTURE}
        refused = admin.post("/runs", data=asked | {"recipe": "scratch"})
        assert refused.status_code == 422
        assert "withdrawn since it was frozen" in refused.text
    with site.session() as session:
        assert len(session.scalars(select(Run.id)).all()) == 1
