"""Files to import, and imports run as a worker does, on a database of the test's own."""

import csv
import io
import json
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from app import config, db, jobs
from app.accounts.policies import SYSTEM
from app.curation import actions as curation
from app.curation import leases, moves
from app.curation.actions import Decision
from app.db import transaction
from app.intake import actions, locations, queries
from app.intake.actions import NewSource
from app.intake.locations import Location
from app.storage import blobs
from app.tables import (
    Candidate,
    Caption,
    Image,
    Import,
    ImportEntry,
    JobState,
    Post,
    ReviewKind,
    Role,
    SourceKind,
    StageTodo,
)
from tests.factories import FAR, make_person, make_picture
from workers.intake import run_import


def forget_caches() -> None:
    if db.engine.cache_info().currsize:
        db.engine().dispose()
    for cached in (config.settings, db.engine, db.sessions, blobs, jobs.sender):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def database(fresh_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A database and a home of the test's own. No broker runs, which loses only wake-ups."""
    monkeypatch.setenv("DATABASE_URL", fresh_database())
    monkeypatch.setenv("IPATH_HOME", str(tmp_path / "home"))
    forget_caches()
    yield
    forget_caches()


# --- files ---


def add_post(
    folder: Path,
    number: int,
    caption: str = "Basal cell carcinoma, H&E, 10×.",
    pictures: tuple[bytes, ...] | None = None,
    owner: str = "1001",
) -> str:
    """A post as Instaloader leaves it, with one picture or a carousel. Returns its shortcode."""
    folder.mkdir(parents=True, exist_ok=True)
    shortcode = f"Cpost{number:05d}"
    stem = f"2024-03-01_10-{number // 60:02d}-{number % 60:02d}_UTC"
    pictures = pictures or (make_picture(number),)
    node: dict[str, Any] = {
        "shortcode": shortcode,
        "__typename": "GraphImage" if len(pictures) == 1 else "GraphSidecar",
        "edge_media_to_caption": {"edges": [{"node": {"text": caption}}]},
        "taken_at_timestamp": 1709288400 + number,
        "owner": {"id": owner, "username": f"path_{owner}"},
    }
    if len(pictures) > 1:
        node["edge_sidecar_to_children"] = {"edges": [{"node": {"is_video": False}} for _ in pictures]}
    for position, data in enumerate(pictures, start=1):
        name = f"{stem}_{position}.jpg" if len(pictures) > 1 else f"{stem}.jpg"
        (folder / name).write_bytes(data)
    whole = {"node": node, "instaloader": {"version": "4.16", "node_type": "Post"}}
    (folder / f"{stem}.json.xz").write_bytes(lzma.compress(json.dumps(whole).encode()))
    return shortcode


def instaloader_folder(folder: Path, posts: int = 6) -> Path:
    """Posts, a carousel, a video, a broken picture and side files."""
    for number in range(posts):
        add_post(folder, number)
    add_post(folder, 100, "Carousel of three.", tuple(make_picture(500 + n) for n in range(3)))
    add_post(folder, 101, "Cut short.", (make_picture(101)[:400],))
    add_post(folder, 102, "")
    (folder / "2024-03-01_12-00-00_UTC.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42")
    (folder / "id").write_text("1001")
    (folder / "path_1001_profile_pic.jpg").write_bytes(make_picture(7))
    return folder


def table_folder(folder: Path, rows: list[list[str]], header: str = "image,caption,author,post_id") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    text.write(header + "\r\n")
    csv.writer(text).writerows(rows)
    (folder / "captions.csv").write_bytes(text.getvalue().encode("utf-8", "surrogatepass"))
    return folder


def pictures(folder: Path, *names: str) -> None:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        (folder / "images" / name).write_bytes(make_picture(900 + number))


# --- running ---


def start(place: Path | Location, source: str = "path_demo_01", kind: SourceKind = SourceKind.FILES) -> Import:
    location = place if isinstance(place, Location) else locations.at_path(place)
    with transaction() as session:
        made = actions.add_source(session, SYSTEM, NewSource(source, kind))
        return actions.start_import(session, SYSTEM, location, made)


def run(import_: Import) -> queries.Shown:
    """Runs an import to its end, as a worker does."""
    job = jobs.claim(import_.job_id or 0)
    assert job
    run_import(job)
    job.finish(JobState.SUCCEEDED)
    return shown(import_.id)


def shown(import_id: int) -> queries.Shown:
    with transaction() as session:
        return queries.import_by_id(session, import_id)


def imported(place: Path | Location, **source: Any) -> queries.Shown:
    return run(start(place, **source))


def outcome(result: queries.Shown) -> tuple[int, int, int, int]:
    counts = result.counts
    return counts.taken, counts.updated, counts.unchanged, counts.refused


def assert_sums_hold(result: queries.Shown, files: int) -> None:
    """Every entry and every file is in exactly one place, numbered without gaps."""
    with transaction() as session:
        ordinals = session.scalars(
            select(ImportEntry.ordinal).where(ImportEntry.import_id == result.run.id).order_by(ImportEntry.ordinal)
        ).all()
        found = queries.file_counts(session, result.run.id)
    assert list(ordinals) == list(range(1, result.counts.entries + 1))
    assert found.files == files == result.job.total == result.job.done


def count_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def everything() -> dict[str, list[Any]]:
    """What imports wrote, without the ids and times that differ from one database to the next."""
    with transaction() as session:
        posts = session.execute(select(Post.natural_key, Post.shortcode, Post.taken_at).order_by(Post.natural_key))
        pairs = session.execute(
            select(Post.natural_key, Candidate.position, Candidate.state, Image.sha256, Caption.text)
            .join(Post, Post.id == Candidate.post_id)
            .join(Image, Image.id == Candidate.image_id)
            .join(Caption, Caption.id == Candidate.caption_id)
            .order_by(Post.natural_key, Candidate.position)
        )
        entries = session.execute(
            select(ImportEntry.ordinal, ImportEntry.outcome, ImportEntry.reason, ImportEntry.file_name).order_by(
                ImportEntry.import_id, ImportEntry.ordinal
            )
        )
        return {"posts": posts.all(), "pairs": pairs.all(), "entries": entries.all()}  # type: ignore[dict-item]


# --- candidates ---


def only_candidate() -> Candidate:
    with transaction() as session:
        return session.scalars(select(Candidate)).one()


def captions() -> list[str | None]:
    with transaction() as session:
        return list(session.scalars(select(Caption.text).order_by(Caption.version)))


def queue_it() -> None:
    with transaction() as session:
        session.execute(StageTodo.__table__.delete())  # type: ignore[attr-defined]
        moves.enqueue(session, list(session.scalars(select(Candidate.id))))


def reject(session: Any, candidate: Candidate) -> None:
    """Alder rejects it and gives back whatever else came along."""
    alder = make_person(session, "alder", Role.REVIEWER)
    lease = next(lease for lease in leases.hold(session, alder) if lease.candidate_id == candidate.id)
    about = (candidate.id, lease.token, candidate.caption_version, uuid4())
    curation.decide(session, alder, Decision(*about, ReviewKind.REJECT, reasons=("image_too_poor",)))
    leases.release(session, alder, FAR)
