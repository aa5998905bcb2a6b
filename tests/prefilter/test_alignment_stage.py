"""Whether caption and picture belong together, by a CLIP with trained weights; else not run, and passed."""

import io
from pathlib import Path

import numpy as np
import open_clip
import pytest
from PIL import Image as Picture
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.policies import SYSTEM
from app.db import transaction
from app.prefilter import actions, due
from app.prefilter.stages import BY_NAME
from app.tables import Candidate, CandidateState, Encoder, Finding, FindingNow, Outcome, Stage
from tests.encoders.conftest import models  # noqa: F401  # a fixture
from tests.encoders.models import TINY_CLIP, register
from tests.factories import make_candidate, make_picture
from tests.prefilter.test_pipeline import states, work
from workers.ml.alignment import HARD, align, turned_copies

S = CandidateState


def unit(*rows: list[float]) -> np.ndarray:
    made = np.array(rows, np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def views(*cosines: float) -> np.ndarray:
    """Unit vectors in the plane with these cosines to (1, 0)."""
    return np.array([[c, np.sqrt(1 - c * c)] for c in cosines], np.float32)


OWN = np.array([1.0, 0.0], np.float32)


def test_the_score_is_clipscore_cut_to_0_and_1() -> None:
    for cosine, score in ((0.3, 0.75), (0.5, 1.0), (-0.2, 0.0), (0.0, 0.0)):
        found = align(views(cosine, cosine, cosine, cosine), OWN, np.empty((0, 2), np.float32))
        assert found.score == pytest.approx(score, abs=1e-6)


def test_the_own_caption_is_ranked_among_those_nearest_to_it() -> None:
    others = unit([1, 0.1], [1, 0.2], [0, 1], [-1, -0.1])
    found = align(np.array([[0, 1]] * 4, np.float32), OWN, others)
    assert (found.rank, found.negatives) == (4, 4)  # all but the opposite one lie nearer to this picture
    assert align(np.array([[1, 0]] * 4, np.float32), OWN, others).rank == 1


def test_equal_captions_count_half_and_only_the_nearest_15_are_compared() -> None:
    assert align(views(1, 1, 1, 1), OWN, np.stack([OWN, OWN])).rank == 2
    far = np.tile(np.array([[-1.0, 0.0]], np.float32), (40, 1))
    found = align(views(-1, -1, -1, -1), OWN, np.concatenate([far, views(*np.linspace(0.2, 0.9, HARD))]))
    assert (found.negatives, found.rank) == (HARD, HARD + 1)


def test_agreement_is_the_share_of_turned_views_that_rank_the_caption_no_worse() -> None:
    others = unit([0.6, 0.8])
    found = align(views(0.95, 0.95, 0.1, 0.95), OWN, others)
    assert found.agreement == pytest.approx(2 / 3)
    assert found.turned == pytest.approx((0.95, 0.1, 0.95))


def test_without_other_captions_there_is_no_rank() -> None:
    found = align(views(0.3, 0.3, 0.3, 0.3), OWN, np.empty((0, 2), np.float32))
    assert (found.rank, found.agreement, found.negatives) == (None, None, 0)


def test_turned_copies_are_the_picture_turned() -> None:
    corner = Picture.new("RGB", (400, 200), "white")
    corner.paste("black", (0, 0, 100, 100))
    buffer = io.BytesIO()
    corner.save(buffer, "JPEG", quality=95)
    copies = [Picture.open(io.BytesIO(copy)) for copy in turned_copies(buffer.getvalue(), 224)]
    assert [copy.size for copy in copies] == [(200, 400), (400, 200), (200, 400)]
    assert [copy.getpixel(at)[0] < 40 for copy, at in zip(copies, [(20, 380), (380, 180), (180, 20)], strict=True)] == [
        True,
        True,
        True,
    ]


def test_a_caption_of_more_than_77_tokens_is_cut_and_keeps_its_end_token() -> None:
    tokens = open_clip.get_tokenizer("ViT-B-32")(["carcinoma " * 300, "short"])
    assert tokens.shape == (2, 77)
    end = int(tokens[1].max())
    assert int(tokens[0, 76]) == end
    assert int(tokens[0].argmax()) == 76  # where the text tower reads


# --- the stage, with a CLIP whose weights are in a file -----------------------------------------


CAPTIONS = ["Nests of basaloid cells, H&E.", "Psammoma bodies in a papillary tumour.", "A naevus, compound."]


def arrive(session: Session, captions: list[str]) -> list[int]:
    made = [make_candidate(session, S.FILTERING, caption, with_blob=True) for caption in captions]
    due.due(session, BY_NAME["alignment"], [candidate.id for candidate in made])
    return [candidate.id for candidate in made]


def findings() -> dict[int, Finding]:
    with transaction() as session:
        rows = session.scalars(select(Finding).where(Finding.stage == "alignment").order_by(Finding.id))
        return {row.candidate_id: row for row in rows}


@pytest.fixture
def trained(models: Path) -> Encoder:  # noqa: F811
    encoder = register(TINY_CLIP)
    with transaction() as session:
        actions.use_encoder(session, encoder.id)
    return encoder


def test_a_trained_clip_scores_every_pair_and_keeps_the_raw_figures(trained: Encoder) -> None:
    with transaction() as session:
        ids = arrive(session, CAPTIONS)
    work()
    assert {states()[id_] for id_ in ids} == {(S.QUEUED, None)}
    for finding in findings().values():
        evidence = finding.evidence
        assert finding.outcome is Outcome.OK
        assert finding.score == pytest.approx(min(1, 2.5 * max(0, evidence["cosine"])), abs=1e-5)
        assert evidence["negatives"] == len(CAPTIONS) - 1
        assert 1 <= evidence["rank"] <= len(CAPTIONS)
        assert len(evidence["turned"]) == 3
        assert 0 <= evidence["agreement"] <= 1
        assert evidence["encoder"] == trained.name


def test_the_figures_are_those_of_the_models_own_vectors(trained: Encoder) -> None:
    from workers.vectors import load

    with transaction() as session:
        (id_,) = arrive(session, CAPTIONS[:1])
        sha256 = session.get_one(Candidate, id_).image_id
    work()
    from app.storage import blobs
    from app.tables import Image

    with transaction() as session:
        picture = blobs().get(session.get_one(Image, sha256).sha256)
    network = load(trained)
    cosine = float(network.embed_images([picture])[0] @ network.embed_texts(CAPTIONS[:1])[0])
    assert findings()[id_].evidence["cosine"] == pytest.approx(cosine, abs=1e-4)


def test_the_same_pair_is_not_computed_again(trained: Encoder) -> None:
    with transaction() as session:
        arrive(session, CAPTIONS)
    work()
    before = {id_: finding.id for id_, finding in findings().items()}
    with transaction() as session:
        actions.run_again(session, SYSTEM, "alignment", None)
    work()
    assert {id_: finding.id for id_, finding in findings().items()} == before


def test_its_threshold_stops_nothing_until_it_is_moved(trained: Encoder) -> None:
    with transaction() as session:
        assert session.get_one(Stage, "alignment").threshold == 0
        ids = arrive(session, CAPTIONS)
    work()
    assert {states()[id_] for id_ in ids} == {(S.QUEUED, None)}
    scores = {id_: finding.score for id_, finding in findings().items()}
    assert all(score is not None and score < 1 for score in scores.values())
    with transaction() as session:
        actions.set_threshold(session, SYSTEM, "alignment", 1.0, 0)
    work()
    assert {states()[id_] for id_ in ids} == {(S.FILTERED_OUT, "alignment")}


@pytest.mark.parametrize("caption", ["", " \n"])
def test_a_candidate_without_a_caption_is_not_run_and_passes(trained: Encoder, caption: str) -> None:
    with transaction() as session:
        empty, full = arrive(session, [caption, CAPTIONS[0]])
    work()
    found = findings()
    assert (found[empty].outcome, found[full].outcome) == (Outcome.NOT_RUN, Outcome.OK)
    assert {state for state, _ in states().values()} == {S.QUEUED}


@pytest.mark.parametrize("weights", ["random", "none"])
def test_without_trained_weights_it_is_not_run_and_says_why(
    models: Path,  # noqa: F811
    weights: str,
) -> None:
    from app.tables import EncoderKind, Weights

    with transaction() as session:
        if weights == "random":
            values = {"source": "open_clip", "model": "tiny_clip.json", "width": 32, "name": "tiny/random"}
            encoder = Encoder(kind=EncoderKind.IMAGE_TEXT, weights=Weights.RANDOM, **values)
            session.add(encoder)
            session.flush()
            actions.use_encoder(session, encoder.id)
        (id_,) = arrive(session, CAPTIONS[:1])
    work()
    with transaction() as session:
        row = session.get_one(FindingNow, (id_, "alignment"))
        assert (row.outcome, row.score) == (Outcome.NOT_RUN, None)
    assert "trained weights" in findings()[id_].evidence["why"]
    assert states()[id_] == (S.QUEUED, None)


@pytest.mark.parametrize("damage", ["text", "cut"])
def test_a_model_file_that_is_none_any_more_is_not_run_and_blames_no_candidate(
    trained: Encoder,
    models: Path,  # noqa: F811
    damage: str,
) -> None:
    from workers.vectors import loaded

    file = models / "run-1.safetensors"
    file.write_bytes(b"not a model" if damage == "text" else file.read_bytes()[:1000])
    loaded.cache_clear()
    with transaction() as session:
        ids = arrive(session, CAPTIONS)
    work()
    found = findings()
    assert {found[id_].outcome for id_ in ids} == {Outcome.NOT_RUN}
    assert all("safetensors" in found[id_].evidence["why"] for id_ in ids)
    assert {state for state, _ in states().values()} == {S.QUEUED}


def test_a_picture_of_noise_is_a_picture() -> None:
    assert len(turned_copies(make_picture(1), 224)) == 3
