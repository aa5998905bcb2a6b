"""Imports end to end: the plain way, interrupted, twice, at once."""

import io
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture
from sqlalchemy import func, select, update

from app import jobs
from app.accounts.policies import SYSTEM
from app.db import transaction
from app.errors import Conflict, Invalid
from app.intake import actions, locations, queries
from app.storage import blobs
from app.tables import (
    Author,
    Candidate,
    CandidateState,
    Caption,
    Event,
    Image,
    JobState,
    Post,
    SourceKind,
    StageTodo,
)
from tests.intake.importing import (  # noqa: F401  # the fixture serves by its name
    add_post,
    assert_sums_hold,
    captions,
    count_files,
    database,
    everything,
    forget_caches,
    imported,
    instaloader_folder,
    outcome,
    pictures,
    run,
    start,
    table_folder,
)
from workers import intake

S = CandidateState


def test_an_instaloader_folder_is_taken_and_every_entry_and_file_is_accounted_for(tmp_path: Path) -> None:
    folder = instaloader_folder(tmp_path / "path_1001")
    result = imported(folder)
    assert outcome(result) == (9, 0, 0, 3)
    assert result.counts.reasons == {"image unreadable": 1, "no caption": 1, "video": 1}
    assert result.run.format == "Instaloader folder"
    assert_sums_hold(result, count_files(folder))


def test_taken_candidates_wait_for_the_first_stage_with_their_caption_on_offer(tmp_path: Path) -> None:
    add_post(tmp_path / "a", 1, "Café 🔬 ‮rtl")
    imported(tmp_path / "a")
    with transaction() as session:
        candidate = session.scalars(select(Candidate)).one()
        caption = session.scalars(select(Caption)).one()
        author = session.scalars(select(Author)).one()
        image = session.scalars(select(Image)).one()
        assert session.scalars(select(StageTodo.stage)).all() == ["quality"]
    assert (candidate.state, candidate.caption_id, candidate.caption_version) == (S.FILTERING, caption.id, 1)
    assert caption.text == "Café 🔬 ‮rtl"
    assert (author.account_id, author.label) == ("1001", "path_1001")
    assert Picture.open(io.BytesIO(blobs().get(image.sha256))).size == (image.width, image.height)


def test_a_second_import_changes_nothing_and_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = instaloader_folder(tmp_path / "a")
    imported(folder)
    before = everything()
    decoded: list[int] = []
    real = intake.PictureCleaner.clean_all
    monkeypatch.setattr(
        intake.PictureCleaner, "clean_all", lambda self, data: decoded.append(len(data)) or real(self, data)
    )
    again = imported(folder)
    after = everything()
    assert outcome(again) == (0, 0, 9, 3)
    assert sum(decoded) == 1  # the broken one
    assert (after["posts"], after["pairs"]) == (before["posts"], before["pairs"])


def test_a_table_with_pictures_is_taken_exactly_as_written(tmp_path: Path) -> None:
    folder = tmp_path / "table"
    pictures(folder, "a.jpg", "b.jpg", "lonely.jpg")
    rows = [
        ["images/a.jpg", "NA", "@birch", "1E5"],
        ["images/b.jpg", "=HYPERLINK(1)", "birch", "post 2"],
        ["images/b.jpg", "A second caption of the same picture", "birch", "post 2"],
        ["images/none.jpg", "No such file", "birch", "post 3"],
        ["images/a.jpg", "Mangled", "birch", "1.78E+16"],
        ["images/a.jpg", "Ragged", "birch"],
    ]
    result = imported(table_folder(folder, rows))
    # "1E5" looks like a number that a spreadsheet wrote, and can't be told from one
    assert result.counts.taken + result.counts.refused == 6
    assert {"wrong number of fields", "no image file"} <= set(result.counts.reasons)
    assert_sums_hold(result, count_files(folder))
    with transaction() as session:
        captions = session.scalars(select(Caption.text)).all()
    assert "=HYPERLINK(1)" in captions
    assert "A second caption of the same picture" in captions


def test_an_uploaded_table_and_zip_are_read_together_under_their_own_names(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    pictures(folder, "a.jpg")
    table_folder(folder, [["images/a.jpg", "From a zip", "birch", "p1"]])
    archive = locations.receiving()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(folder / "images" / "a.jpg", "images/a.jpg")
    table = locations.receiving()
    table.write_bytes((folder / "captions.csv").read_bytes())
    sent = [(locations.publish(archive), "pictures.zip"), (locations.publish(table), "captions.csv")]
    result = imported(locations.uploaded(sent))
    assert outcome(result) == (1, 0, 0, 0)
    assert result.run.origin == "pictures.zip + captions.csv"
    assert_sums_hold(result, 2)
    with transaction() as session:
        assert [file.name for file in queries.report_files(session, result.run.id)] == [
            "captions.csv",
            "images/a.jpg",
        ]


def test_tables_of_two_sources_never_share_posts(tmp_path: Path) -> None:
    for name in ("one", "two"):
        pictures(tmp_path / name, "1.jpg")
        table_folder(tmp_path / name, [["images/1.jpg", f"Row of {name}", name, "1"]])
        imported(tmp_path / name, source=name)
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Post)) == 2


def test_an_account_known_by_name_and_then_by_number_is_one_author(tmp_path: Path) -> None:
    pictures(tmp_path / "t", "1.jpg")
    link = "https://www.instagram.com/p/Cother00001/"
    row = ["images/1.jpg", "By name", "path_1001", "1", link]
    imported(table_folder(tmp_path / "t", [row], "image,caption,author,post_id,url"))
    add_post(tmp_path / "i", 1)
    imported(tmp_path / "i")
    with transaction() as session:
        author = session.scalars(select(Author)).one()
        assert session.scalars(select(Post.author_id)).all() == [author.id, author.id]
    assert (author.account_id, author.label) == ("1001", "path_1001")


def test_posts_without_an_author_belong_to_the_account_that_the_source_is(tmp_path: Path) -> None:
    pictures(tmp_path / "t", "1.jpg")
    imported(
        table_folder(tmp_path / "t", [["images/1.jpg", "Mine", "", "1"]]), source="@rowan", kind=SourceKind.ACCOUNT
    )
    with transaction() as session:
        assert session.scalars(select(Author.account_id)).all() == ["rowan"]


class Killed(Exception):
    pass


def test_an_import_killed_midway_goes_on_and_ends_like_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_database: Callable[[], str]
) -> None:
    monkeypatch.setattr(intake, "ENTRIES_A_STEP", 2)
    folder = instaloader_folder(tmp_path / "a")
    imported(folder)
    whole = everything()
    monkeypatch.setenv("DATABASE_URL", fresh_database())
    forget_caches()
    made = start(folder)
    real, steps = intake.taking.take, []

    def dies(session: Any, batch: Any) -> None:
        real(session, batch)
        steps.append(1)
        if len(steps) in (2, 4):
            raise Killed

    monkeypatch.setattr(intake.taking, "take", dies)
    for _ in range(2):
        with pytest.raises(Killed):
            run(made)
        with transaction() as session:
            session.execute(update(jobs.Job).values(state=JobState.QUEUED, token=None))
    result = run(made)
    assert everything() == whole
    assert_sums_hold(result, count_files(folder))
    with transaction() as session:
        acts = session.scalars(select(Event.act).where(Event.act.like("import.%")).order_by(Event.id)).all()
    assert acts == ["import.started", "import.finished"]


def test_an_import_whose_files_changed_meanwhile_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = instaloader_folder(tmp_path / "a")
    made = start(folder)
    monkeypatch.setattr(intake.ledger, "close", lambda *_: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        run(made)
    add_post(folder, 50)
    with transaction() as session:
        session.execute(update(jobs.Job).values(state=JobState.QUEUED, token=None))
    with pytest.raises(Conflict, match="files changed"):
        run(made)


def test_two_imports_of_the_same_posts_at_once_take_each_pair_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "ENTRIES_A_STEP", 3)
    for name in ("one", "two"):
        for number in range(30):
            add_post(tmp_path / name, number, owner=str(1000 + number % 7))
    made = [start(tmp_path / "one", source="one"), start(tmp_path / "two", source="two")]
    results: list[queries.Shown] = []
    threads = [threading.Thread(target=lambda m=m: results.append(run(m))) for m in made]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert sum(result.counts.taken for result in results) == 30
    assert sum(result.counts.unchanged for result in results) == 30
    for result in results:
        assert_sums_hold(result, 60)
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Candidate)) == 30
        assert session.scalar(select(func.count()).select_from(Caption)) == 30


def test_the_same_place_is_imported_once_at_a_time(tmp_path: Path) -> None:
    add_post(tmp_path / "a", 1)
    first, second = start(tmp_path / "a"), start(tmp_path / "a")
    assert first.id == second.id
    run(first)
    assert start(tmp_path / "a").id != first.id


def test_a_table_that_is_not_utf_8_fails_and_is_read_once_that_is_confirmed(tmp_path: Path) -> None:
    pictures(tmp_path / "t", "a.jpg")
    table = "image,caption\r\nimages/a.jpg,Prüfung größer\r\n".encode("cp1252")
    (tmp_path / "t" / "captions.csv").write_bytes(table)
    made = start(tmp_path / "t")
    job = jobs.claim(made.job_id or 0)
    assert job
    with pytest.raises(Invalid, match=r"captions\.csv is not written in UTF-8"):
        intake.run_import(job)
    job.finish(JobState.FAILED, "not UTF-8")
    with transaction() as session:
        shown = queries.import_by_id(session, made.id)
        assert shown.run.options == {"western": False}
        again = actions.try_again(session, SYSTEM, shown, western=True)
    assert outcome(run(again)) == (1, 0, 0, 0)
    assert captions() == ["Prüfung größer"]


def test_a_table_beside_a_zip_that_holds_it_too_is_counted_twice(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    pictures(folder, "a.jpg")
    table_folder(folder, [["images/a.jpg", "From a zip", "birch", "p1"]])
    archive, table = locations.receiving(), locations.receiving()
    with zipfile.ZipFile(archive, "w") as packed:
        for name in ("images/a.jpg", "captions.csv"):
            packed.write(folder / name, name)
    table.write_bytes((folder / "captions.csv").read_bytes())
    sent = [(locations.publish(archive), "pictures.zip"), (locations.publish(table), "captions.csv")]
    result = imported(locations.uploaded(sent))
    assert outcome(result) == (1, 0, 0, 1)
    assert_sums_hold(result, 3)


def test_an_import_of_known_posts_says_under_which_source_they_are(tmp_path: Path) -> None:
    for number in range(2):
        add_post(tmp_path / "a", number)
    first = imported(tmp_path / "a", source="one")
    again = imported(tmp_path / "a", source="two")
    with transaction() as session:
        assert queries.nothing_new(session, first) is None
        assert queries.nothing_new(session, again) == queries.NothingNew({"one": 2}, source_is_empty=True)
