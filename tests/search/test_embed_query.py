"""The worker's side: a query's vector is made once, and neither its text nor its picture is kept."""

import hashlib

import pytest
from sqlalchemy import select, text, update

from app import jobs
from app.accounts.policies import SYSTEM
from app.candidates.forms import By, ListForm
from app.db import transaction
from app.errors import Conflict
from app.prefilter import actions as prefilter
from app.search import actions, pages
from app.search.actions import key_of, waiting_picture
from app.storage import blobs
from app.tables import Candidate, Embedding, Encoder, EncoderKind, Image, Job, JobState, QueryVector, Weights
from tests.factories import make_candidate, make_picture
from tests.intake.hostile_pictures import png_that_claims
from workers import main as worker

pytestmark = pytest.mark.usefixtures("own_database")

TINY = "tests/tiny_clip.json"


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No broker: the test runs the jobs itself."""
    monkeypatch.setattr(jobs, "send", lambda job_id, queue: None)


@pytest.fixture
def encoder() -> Encoder:
    """A CLIP of 32 numbers with random weights, in use."""
    with transaction() as session:
        kind = {"kind": EncoderKind.IMAGE_TEXT, "weights": Weights.RANDOM}
        made = Encoder(name="Tiny", source="open_clip", model=TINY, width=32, **kind)
        session.add(made)
        session.flush()
        prefilter.use_encoder(session, made.id)
        return made


def work() -> list[JobState]:
    """Runs what waits; the states in which it ended."""
    with transaction() as session:
        ids = session.scalars(select(Job.id).where(Job.state == JobState.QUEUED).order_by(Job.id)).all()
    for id_ in ids:
        worker.run_job(id_)
    with transaction() as session:
        return [session.get_one(Job, id_).state for id_ in ids]


def row(encoder: Encoder, key: str) -> QueryVector:
    with transaction() as session:
        return session.get_one(QueryVector, (encoder.id, key))


def search(**wanted: object) -> pages.Found:
    with transaction() as session:
        return pages.found(session, SYSTEM, ListForm(**wanted))  # type: ignore[arg-type]


def embedded(encoder: Encoder, *seeds: int) -> list[int]:
    """Candidates with these pictures, embedded as the stage does it."""
    from workers.vectors import load

    with transaction() as session:
        made = [make_candidate(session, with_blob=True).id for _ in seeds]
        vectors = load(encoder).embed_images([make_picture(seed) for seed in seeds])
        for id_, seed, vec in zip(made, seeds, vectors, strict=True):
            sha256 = blobs().put(make_picture(seed))
            image_id = session.get_one(Candidate, id_).image_id
            session.execute(update(Image).where(Image.id == image_id).values(sha256=sha256))
            session.add(Embedding(image_id=image_id, encoder_id=encoder.id, vec=vec))
    return made


def test_a_text_is_embedded_once_and_forgotten(encoder: Encoder) -> None:
    ids = embedded(encoder, 1, 2)
    assert search(q="crowded  glands", by=By.MEANING).ranking.waiting
    assert row(encoder, key_of("crowded glands")).text == "crowded glands"
    assert work() == [JobState.SUCCEEDED]
    kept = row(encoder, key_of("crowded glands"))
    assert kept.text is None
    assert len(kept.vec or ()) == 32
    found = search(q="crowded glands", by=By.MEANING)
    assert {listed.id for listed in found.rows} == set(ids)
    assert not found.ranking.waiting
    assert work() == [], "nothing is asked of a worker again"


def test_no_job_and_no_event_holds_the_text(encoder: Encoder) -> None:
    search(q="a name of a patient", by=By.MEANING)
    work()
    with transaction() as session:
        for table in ("job", "event", "query_vector"):
            everything = session.execute(text(f"SELECT string_agg(t::text, '') FROM {table} t")).scalar_one()
            assert "patient" not in (everything or "")


def test_an_uploaded_picture_finds_itself_first_and_is_not_kept(encoder: Encoder) -> None:
    ids = embedded(encoder, 1, 2, 3)
    with transaction() as session:
        key = actions.want_picture(session, SYSTEM, encoder, make_picture(2)).sha256
    assert waiting_picture(key).exists()
    assert work() == [JobState.SUCCEEDED]
    assert not waiting_picture(key).exists()
    found = search(picture=key, by=By.IMAGE)
    assert found.rows[0].id == ids[1]
    assert found.ranking.near[ids[1]] == pytest.approx(1, abs=0.001)


@pytest.mark.parametrize("data", [b"no picture at all", png_that_claims(60_000, 60_000)])
def test_a_picture_that_can_not_be_taken_fails_with_a_reason_and_is_not_kept(encoder: Encoder, data: bytes) -> None:
    key = hashlib.sha256(data).hexdigest()
    with transaction() as session:
        actions.want_picture(session, SYSTEM, encoder, data)
    assert work() == [JobState.FAILED]
    assert not waiting_picture(key).exists()
    assert row(encoder, key).vec is None
    (note,) = search(picture=key, by=By.IMAGE).ranking.notes
    assert note[0] == "bad"
    assert "Traceback" not in note[1]
    with transaction() as session, pytest.raises(Conflict):
        actions.ask_again(session, SYSTEM, encoder, key)


def test_a_picture_can_be_sent_again_after_it_failed(encoder: Encoder) -> None:
    data = make_picture(5)
    with transaction() as session:
        key = actions.want_picture(session, SYSTEM, encoder, data).sha256
    waiting_picture(key).unlink()
    assert work() == [JobState.FAILED]
    with transaction() as session:
        actions.want_picture(session, SYSTEM, encoder, data)
    assert work() == [JobState.SUCCEEDED]
    assert row(encoder, key).vec is not None


def test_vectors_that_were_asked_for_a_month_ago_are_dropped(encoder: Encoder) -> None:
    search(q="glands", by=By.MEANING)
    work()
    with transaction() as session:
        session.execute(text("UPDATE query_vector SET created_at = clock_timestamp() - interval '31 days'"))
    search(q="mucin", by=By.MEANING)
    work()
    with transaction() as session:
        assert session.scalars(select(QueryVector.sha256)).all() == [key_of("mucin")]


def test_a_job_whose_row_is_gone_or_done_has_nothing_to_do(encoder: Encoder) -> None:
    search(q="glands", by=By.MEANING)
    with transaction() as session:
        session.execute(text("DELETE FROM query_vector"))
    assert work() == [JobState.SUCCEEDED]
