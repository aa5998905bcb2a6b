"""Files that are wrong or hostile: each refuses only itself and is accounted for."""

import json
import lzma
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from app import jobs
from app.curation import moves
from app.db import transaction
from app.errors import AppError, Invalid
from app.intake import locations, queries
from app.tables import (
    Candidate,
    Caption,
    ImportEntry,
    JobState,
    Withdrawal,
    WithdrawalKind,
)
from tests.factories import make_picture
from tests.intake.importing import (  # noqa: F401  # the fixture serves by its name
    add_post,
    assert_sums_hold,
    count_files,
    database,
    imported,
    outcome,
    pictures,
    run,
    shown,
    start,
    table_folder,
)
from workers import intake
from workers.intake import run_import


def test_nul_and_lone_surrogates_become_replacement_characters(tmp_path: Path) -> None:
    add_post(tmp_path / "a", 1, "a\x00b\ud83dc\ud83d\ude00")
    result = imported(tmp_path / "a")
    with transaction() as session:
        assert session.scalars(select(Caption.text)).all() == ["a�b�c😀"]
    assert outcome(result) == (1, 0, 0, 0)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("broken.zip", b"PK\x03\x04 cut short", "No posts|not|zip"),
        ("notes.txt", b"hello", "No posts were found"),
        ("empty.csv", b"", "No posts|empty"),
    ],
)
def test_what_no_reader_knows_fails_the_import_with_what_to_do(
    tmp_path: Path, name: str, data: bytes, says: str
) -> None:
    temporary = locations.receiving()
    temporary.write_bytes(data)
    made = start(locations.uploaded([(locations.publish(temporary), name)]))
    job = jobs.claim(made.job_id or 0)
    assert job
    with pytest.raises(Invalid, match=says) as caught:
        run_import(job)
    assert temporary.name.lstrip(".") not in str(caught.value)
    job.finish(JobState.FAILED, jobs.last_line(caught.value))
    assert shown(made.id).job.error == f"{caught.value.message} {caught.value.what_next}".strip()


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it is this large and holds nothing."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    packed = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


HOSTILE_PICTURES = {
    b"": "not an image",
    b"<!doctype html><title>Log in</title>": "not an image",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>": "not an image",
    make_picture(1)[:900]: "image unreadable",
    png_of(50_000, 50_000): "image too large",
    make_picture(2, 40, 40): "too small",
}


def test_each_bad_picture_refuses_only_itself(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    for number, data in enumerate(HOSTILE_PICTURES):
        add_post(folder, number, pictures=(data,))
    add_post(folder, 50)
    add_post(folder, 51, "x" * 100_000)
    (folder / "setup.exe").write_bytes(b"MZ")
    (folder / "2024-03-01_11-00-00_UTC.json").write_text("{")
    (folder / "=cmd'C calc'!A0.jpg").write_bytes(make_picture(3))
    (folder / "line\nbreak \u202e.txt").write_text("x")
    result = imported(folder)
    with transaction() as session:
        rows = session.scalars(queries_of_refused(result.run.id)).all()
    assert outcome(result)[0] == 1
    assert list(rows) == list(HOSTILE_PICTURES.values())
    assert result.counts.reasons["caption too long"] == 1
    assert result.counts.reasons["metadata unreadable"] == 1
    assert_sums_hold(result, count_files(folder))


def queries_of_refused(import_id: int) -> Any:
    """Why the pictures of the posts of the first minute were refused, in their order."""
    return (
        select(ImportEntry.reason)
        .where(ImportEntry.import_id == import_id, ImportEntry.file_name.like("2024-03-01_10-00-0%"))
        .order_by(ImportEntry.file_name)
    )


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_names_in_a_zip_are_refused_and_lead_nowhere(tmp_path: Path) -> None:
    add_post(tmp_path / "a", 1)
    archive = tmp_path / "hostile.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted((tmp_path / "a").iterdir()):
            packed.write(path, path.name)
        for name in ("../../escaped.jpg", "/etc/escaped.jpg", "Twin.jpg", "twin.jpg", "same.jpg", "same.jpg"):
            packed.writestr(name, make_picture(9))
        packed.writestr("__MACOSX/._x", b"x")
    result = imported(archive)
    assert outcome(result)[0] == 1
    assert_sums_hold(result, 9)
    assert not list(tmp_path.rglob("escaped.jpg"))
    with transaction() as session:
        reasons = queries.file_counts(session, result.run.id).reasons
    assert reasons == {"unsafe path": 2, "name clash": 4}


def test_an_empty_folder_fails_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(AppError, match="nothing is empty"):
        imported(tmp_path / "nothing")


def test_a_picture_of_another_shape_than_its_post_says_is_refused(tmp_path: Path) -> None:
    add_post(tmp_path / "a", 1)
    (file,) = (tmp_path / "a").glob("*.json.xz")
    whole = json.loads(lzma.decompress(file.read_bytes()))
    whole["node"]["dimensions"] = {"width": 1080, "height": 1350}
    file.write_bytes(lzma.compress(json.dumps(whole).encode()))
    assert imported(tmp_path / "a").counts.reasons == {"picture may belong to another post": 1}


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (WithdrawalKind.AUTHOR, "instagram:1001"),
        (WithdrawalKind.POST, "instagram:Cpost00001"),
        (WithdrawalKind.IMAGE, ""),
    ],
)
def test_what_was_withdrawn_is_refused(tmp_path: Path, kind: WithdrawalKind, key: str) -> None:
    add_post(tmp_path / "a", 1)
    with transaction() as session:
        session.add(Withdrawal(kind=kind, key=key or intake.sha256_of_bytes(make_picture(1))))
    result = imported(tmp_path / "a")
    assert result.counts.reasons == {"withdrawn before": 1}
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Candidate)) == 0


def test_a_table_does_not_bring_back_a_known_post_of_a_withdrawn_author(tmp_path: Path) -> None:
    shortcode = add_post(tmp_path / "i", 1)
    imported(tmp_path / "i")
    with transaction() as session:
        moves.withdraw(session, list(session.scalars(select(Candidate.id))))
        session.add(Withdrawal(kind=WithdrawalKind.AUTHOR, key="instagram:1001"))
    pictures(tmp_path / "t", "1.jpg")
    row = ["images/1.jpg", "Back again", "1", f"https://www.instagram.com/p/{shortcode}/"]
    table_folder(tmp_path / "t", [row], "image,caption,post_id,url")
    assert imported(tmp_path / "t").counts.reasons == {"withdrawn before": 1}
