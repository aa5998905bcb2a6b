"""Snapshots from the database: freezing, building, rebuilding; and what a snapshot promises for good."""

import hashlib
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import SYSTEM, Actor
from app.archive import Archive, byte_range
from app.config import settings
from app.curation import actions as curation
from app.curation import leases, moves
from app.db import transaction
from app.snapshots import actions, building, queries
from app.snapshots.verify import verify
from app.tables import Candidate, Consent, Job, JobState, ReviewKind, Snapshot, SnapshotMember, Source
from tests.factories import FAR, make_candidate, make_person
from workers import main as worker

pytestmark = pytest.mark.usefixtures("own_database", "quiet", "own_home")


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_database: None) -> None:
    from tests.conftest import forget_settings

    monkeypatch.setenv("IPATH_HOME", str(tmp_path / "home"))
    forget_settings()


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No broker: the test runs the jobs itself."""
    monkeypatch.setattr(jobs, "send", lambda job_id, queue: None)


def accept(session: Session, actor: Actor, candidate: Candidate, caption: str = "") -> None:
    leases.release(session, actor, FAR)
    lease = next(lease for lease in _held(session, actor) if lease.candidate_id == candidate.id)
    offered = queries.Caption
    text = caption or session.scalars(select(offered.text).where(offered.id == candidate.caption_id)).one() or ""
    version = candidate.caption_version
    sent = curation.Decision(
        candidate.id, lease.token, version, uuid4(), ReviewKind.ACCEPT, text, fields={"stain": "he"}
    )
    curation.decide(session, actor, sent)


def _held(session: Session, actor: Actor) -> list[leases.Lease]:
    return leases.hold(session, actor)


def accepted(session: Session, count: int, author: str = "", actor: Actor | None = None) -> list[int]:
    """Accepted pairs with real pictures; each by an author of its own unless one is named."""
    actor = actor or make_person(session, f"alder{uuid4().hex[:8]}")
    ids = []
    for number in range(count):
        name = author or f"path_demo_{uuid4().hex[:8]}"
        made = make_candidate(session, caption=f"Naevus, compound, number {number}.", author=name, with_blob=True)
        accept(session, actor, made)
        ids.append(made.id)
    return ids


def snapshot(val: int = 1, test: int = 2) -> Job:
    with transaction() as session:
        job_id = actions.make_snapshot(session, SYSTEM, val, test, "").id
    worker.run_job(job_id)
    with transaction() as session:
        return session.get_one(Job, job_id)


def splits(number: int) -> dict[int, str]:
    with transaction() as session:
        rows = session.execute(
            select(SnapshotMember.candidate_id, SnapshotMember.split)
            .join(Snapshot, Snapshot.id == SnapshotMember.snapshot_id)
            .where(Snapshot.number == number)
        )
        return {id_: split.value for id_, split in rows}


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_snapshot_holds_the_accepted_pairs_and_verifies() -> None:
    with transaction() as session:
        ids = accepted(session, 8)
        make_candidate(session, with_blob=True)
    job = snapshot()
    assert (job.state, job.error) == (JobState.SUCCEEDED, "")
    folder = settings().snapshots_path / "v0001"
    assert verify(folder) == []
    assert set(splits(1)) == set(ids)
    assert sorted(splits(1).values()) == ["test"] * 2 + ["train"] * 5 + ["val"]
    with transaction() as session:
        found = queries.numbered(session, 1)
        assert found.built_at
        assert {path: entry["sha256"] for path, entry in found.files.items()} == digests(folder)


def test_the_same_members_give_the_same_bytes(tmp_path: Path) -> None:
    with transaction() as session:
        accepted(session, 8)
    snapshot()
    with transaction() as session:
        building.export(session, 1, tmp_path / "again" / "v0001")
    assert digests(tmp_path / "again" / "v0001") == digests(settings().snapshots_path / "v0001")


def test_one_flipped_byte_is_found() -> None:
    with transaction() as session:
        accepted(session, 4)
    snapshot(0, 0)
    shard = next((settings().snapshots_path / "v0001" / "shards").glob("train-*.tar"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    assert [problem.path for problem in verify(settings().snapshots_path / "v0001")] == [f"shards/{shard.name}"]


def test_what_is_held_out_once_is_never_trained_on() -> None:
    with transaction() as session:
        accepted(session, 6)
    snapshot()
    held = {id_ for id_, split in splits(1).items() if split == "test"}
    with transaction() as session:
        author = (
            session.execute(
                select(queries.Post.author_id)
                .join(Candidate, Candidate.post_id == queries.Post.id)
                .where(Candidate.id.in_(held))
            )
            .scalars()
            .first()
        )
        name = session.scalars(select(_author().account_id).where(_author().id == author)).one()
        (newcomer,) = accepted(session, 1, author=name)
        accepted(session, 3)
    snapshot()
    later = splits(2)
    assert {later[id_] for id_ in held} == {"test"}
    assert later[newcomer] == "reserve"


def _author():  # type: ignore[no-untyped-def]
    from app.tables import Author

    return Author


def test_no_author_is_on_two_sides() -> None:
    with transaction() as session:
        actor = make_person(session, "alder")
        for name in ("one", "two", "three", "four"):
            accepted(session, 3, author=name, actor=actor)
    snapshot(val=2, test=2)
    with transaction() as session:
        rows = session.execute(
            select(queries.Post.author_id, SnapshotMember.split)
            .join(Candidate, Candidate.post_id == queries.Post.id)
            .join(SnapshotMember, SnapshotMember.candidate_id == Candidate.id)
        )
        sides: dict[int | None, set[str]] = {}
        for author, split in rows:
            sides.setdefault(author, set()).add("train" if split.value == "train" else "held out")
    assert all(len(side) == 1 for side in sides.values())


def test_pairs_without_consent_stay_out_and_are_counted() -> None:
    with transaction() as session:
        ids = accepted(session, 3)
        run = session.query(Source).one()
        run.consent = Consent.NOT_ASKED
    job = snapshot()
    assert job.state is JobState.FAILED
    assert "no accepted pair whose source agreed" in job.error
    with transaction() as session:
        assert queries.ready(session) == queries.Ready(0, {"not_asked": 3})
        session.execute(update(Source).values(consent=Consent.AGREED))
    assert snapshot().state is JobState.SUCCEEDED
    assert set(splits(1)) == set(ids)


def test_a_build_that_was_killed_is_written_again_with_the_same_members() -> None:
    with transaction() as session:
        accepted(session, 5)
        job_id = actions.make_snapshot(session, SYSTEM, 0, 0, "").id
    real = building.blobs
    calls: list[str] = []

    class Dying:
        def get(self, sha256: str) -> bytes:
            calls.append(sha256)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return real().get(sha256)

    building.blobs = Dying  # type: ignore[assignment]
    try:
        with pytest.raises(KeyboardInterrupt):
            worker.run_job(job_id)
    finally:
        building.blobs = real  # type: ignore[assignment]
    assert not (settings().snapshots_path / "v0001").exists()
    frozen = splits(1)
    with transaction() as session:
        session.execute(update(Job).values(state=JobState.QUEUED, token=None))
    worker.run_job(job_id)
    assert splits(1) == frozen
    assert verify(settings().snapshots_path / "v0001") == []
    with transaction() as session:
        assert len(queries.newest(session)) == 1


def test_the_difference_to_the_one_before_is_counted() -> None:
    with transaction() as session:
        first = accepted(session, 3)
    snapshot(0, 0)
    with transaction() as session:
        moves.withdraw(session, first[:1])
        accepted(session, 2)
    snapshot(0, 0)
    with transaction() as session:
        found = queries.difference(session, queries.numbered(session, 2))
        assert found == queries.Difference("v0001", added=2, removed=1, recaptioned=0, moved=0)
        assert queries.withdrawn_since(session, queries.numbered(session, 1)) == 1


def test_any_range_of_the_archive_splices_into_the_whole(tmp_path: Path) -> None:
    import tarfile

    with transaction() as session:
        accepted(session, 4)
    snapshot(0, 0)
    folder = settings().snapshots_path / "v0001"
    with transaction() as session:
        archive = Archive(folder, "v0001", queries.numbered(session, 1).files)
    whole = b"".join(archive.read(0, archive.size))
    assert len(whole) == archive.size
    cuts = [0, 1, 511, 513, 5000, archive.size // 2, archive.size - 1, archive.size]
    assert b"".join(b"".join(archive.read(*cut)) for cut in pairwise(cuts)) == whole
    (tmp_path / "v.tar").write_bytes(whole)
    with tarfile.open(tmp_path / "v.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    assert digests(tmp_path / "v0001") == digests(folder)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-99", (0, 100)),
        ("bytes=100-", (100, 1000)),
        ("bytes=-50", (950, 1000)),
        ("bytes=0-5000", (0, 1000)),
        ("bytes=0-1,5-6", None),
        ("items=0-1", None),
        ("bytes=a-b", None),
        ("bytes=-", None),
    ],
)
def test_ranges_are_read_as_the_standard_says(header: str, expected: tuple[int, int] | None) -> None:
    assert byte_range(header, 1000) == expected


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=5-4", "bytes=-0"])
def test_a_range_without_a_byte_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match="no byte"):
        byte_range(header, 1000)
