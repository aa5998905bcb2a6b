"""Features are kept by what a picture is; they go with their model, or when an admin says so."""

import shutil
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import SYSTEM
from app.db import transaction
from app.encoders import actions as encoders
from app.evaluation import folders
from app.evaluation.policies import Task
from app.tables import Event, JobState, WorkQueue
from tests.encoders.models import SECOND, TINY_CLIP, register, run
from tests.evaluation.fixtures import arrays
from tests.evaluation.fixtures.pictures import save, tissue
from tests.evaluation.made import make_evaluation, make_set
from tests.evaluation.test_evaluate_job import evaluated, predictions, read, read_again
from tests.evaluation.test_what_is_measured import EACH, fill
from tests.factories import make_encoder
from tests.web_client import SignIn
from workers.evaluating.features import cache_name, features
from workers.ml.encoder import Encoder, EncoderSpec, load_encoder

ONE, OTHER = "1" * 64, "2" * 64


@pytest.fixture(autouse=True)
def emptied() -> None:
    folders.delete_features()


@pytest.fixture(scope="module")
def network() -> Encoder:
    return load_encoder(EncoderSpec("efficientnet-lite0"))


def keep(network: Encoder, checksum: str) -> int:
    """Makes and keeps the features of a picture; how many were made and not kept already."""
    rows = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    cache = folders.features_folder() / cache_name(network, checksum, "set")
    return features(network, [("a", lambda: Image.fromarray(rows))], cache=cache).made


def test_a_picture_that_is_there_is_not_made_again_whatever_joins_its_set_or_how_it_is_called(roots: Path) -> None:
    fill(roots / "one", 0)
    set_id, encoder = read("one"), register(TINY_CLIP)
    before = predictions(evaluated(encoder, set_id, Task.ZERO_SHOT))
    pale = roots / "one" / "test" / "pale"
    save(tissue(0, 999, (40, 40)), pale / "new.png")
    (pale / "000.png").rename(pale / "renamed.png")
    shutil.copy(pale / "001.png", pale / "copy.png")
    read_again(set_id)
    found = evaluated(encoder, set_id, Task.ZERO_SHOT)
    metrics = found.row.metrics
    assert (metrics["made"], metrics["from_cache"], metrics["n"]) == (1, 2 * EACH, 2 * EACH + 2)
    after = {row["item"]: row["scores"] for row in predictions(found)}
    now = {"test/pale/000.png": "test/pale/renamed.png", "test/pale/001.png": "test/pale/copy.png"}
    assert all(after[now.get(str(row["item"]), row["item"])] == row["scores"] for row in before)


def test_pictures_that_lie_in_one_file_are_told_apart_by_their_places_in_it(roots: Path) -> None:
    arrays.clip_benchmark(roots / "tars")  # the first shards of both splits are the same file
    set_id, encoder = read("tars"), register(TINY_CLIP)
    first = evaluated(encoder, set_id, Task.LINEAR_PROBE)
    assert (first.row.metrics["n"], first.row.metrics["trained_on"], first.row.metrics["made"]) == (12, 6, 12)
    assert len({tuple(row["scores"]) for row in predictions(first)}) == 12
    assert evaluated(encoder, set_id, Task.ZERO_SHOT).row.metrics["made"] == 0


def test_the_features_of_a_models_weights_are_found_by_their_checksum(network: Encoder) -> None:
    assert [keep(network, ONE), keep(network, OTHER), keep(network, "")] == [1, 1, 1]
    folders.delete_features_of(ONE)
    assert [keep(network, ONE), keep(network, OTHER), keep(network, "")] == [1, 0, 0]


def test_the_features_of_a_deleted_model_go_with_it_and_those_of_others_stay(roots: Path, network: Encoder) -> None:
    gone, stays = register(TINY_CLIP), register(SECOND)
    keep(network, gone.checksum)
    keep(network, stays.checksum)
    with transaction() as session:
        job = encoders.remove(session, SYSTEM, gone.id, str(gone.id))
    assert run(job).state is JobState.SUCCEEDED
    assert [keep(network, stays.checksum), keep(network, gone.checksum)] == [0, 1]


def test_an_admin_sees_how_much_is_kept_and_deletes_it(session: Session, sign_in: SignIn, network: Encoder) -> None:
    keep(network, ONE)
    size = folders.features_size()
    made = make_evaluation(session, make_encoder(session), make_set(session))
    folders.of_evaluation(made.id).mkdir(parents=True, exist_ok=True)
    assert "Kept features" not in sign_in("fir").get("/evaluation/sets").text
    elm = sign_in("elm")
    assert "Delete the features" in elm.get("/evaluation/sets").text
    assert elm.post("/evaluation/sets/features/delete").status_code == 303
    page = elm.get("/evaluation/sets").text
    assert "of features are deleted." in page
    assert "Delete the features" not in page
    assert folders.features_size() == 0 < size
    assert folders.of_evaluation(made.id).is_dir()
    assert session.scalars(select(Event.details).where(Event.act == "features.deleted")).one() == {"bytes": size}
    assert "the features that were kept" in elm.get("/activity").text
    folders.delete(made.id)


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.QUEUED])
def test_features_stay_while_an_evaluation_may_write_some(
    session: Session, sign_in: SignIn, network: Encoder, state: JobState
) -> None:
    keep(network, ONE)
    job = jobs.submit(session, "evaluate", WorkQueue.GPU, {"evaluation": 1})
    job.state, job.token = state, uuid4() if state is JobState.RUNNING else None
    session.flush()
    answer = sign_in("elm").post("/evaluation/sets/features/delete")
    is_kept = state is JobState.RUNNING
    assert answer.status_code == (409 if is_kept else 303)
    assert (folders.features_size() > 0) is is_kept
