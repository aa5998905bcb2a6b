"""Content that changed since, trying again, taking back, and the report."""

import csv
import io
import json
import lzma
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from app import jobs
from app.accounts.policies import SYSTEM
from app.candidates import queries as candidates
from app.db import transaction
from app.errors import Invalid
from app.intake import actions, queries, reports
from app.prefilter import due
from app.tables import (
    Assignment,
    Candidate,
    CandidateState,
    Event,
    Job,
    JobState,
    Post,
    Review,
    StageTodo,
)
from tests.duplicates.copying import labels, look, states
from tests.factories import make_person, make_picture
from tests.intake.importing import (  # noqa: F401  # the fixture serves by its name
    add_post,
    assert_sums_hold,
    captions,
    count_files,
    database,
    imported,
    instaloader_folder,
    only_candidate,
    outcome,
    pictures,
    queue_it,
    reject,
    run,
    shown,
    start,
    table_folder,
)
from workers import intake
from workers import main as worker
from workers.intake import run_import

S = CandidateState


def test_what_a_source_says_beside_the_caption_is_kept_once(tmp_path: Path) -> None:
    add_post(tmp_path / "a", 1, "New words")
    metadata = next((tmp_path / "a").rglob("*.json.xz"))
    node = json.loads(lzma.decompress(metadata.read_bytes()))
    node["node"]["accessibility_caption"] = "May be an image of tissue"
    metadata.write_bytes(lzma.compress(json.dumps(node).encode()))
    metadata.with_name(metadata.name.replace(".json.xz", "_old_01.txt")).write_text("Old words")
    for _ in range(2):
        imported(tmp_path / "a")
    with transaction() as session:
        kept = candidates.source_texts(session, only_candidate().id)
        assert session.scalar(select(Post.is_edited))
    assert kept == [("alt_text", "May be an image of tissue"), ("earlier_caption", "Old words")]
    assert captions() == ["New words"]


def test_a_changed_caption_of_an_undecided_candidate_is_offered_and_filtered_again(tmp_path: Path) -> None:
    add_post(tmp_path / "a", 1, "First")
    imported(tmp_path / "a")
    queue_it()
    add_post(tmp_path / "a", 1, "Second")
    result = imported(tmp_path / "a")
    candidate = only_candidate()
    assert outcome(result) == (0, 1, 0, 0)
    assert captions() == ["First", "Second"]
    assert (candidate.state, candidate.caption_version) == (S.FILTERING, 2)
    with transaction() as session:
        assert session.scalars(select(StageTodo.stage)).all() == ["quality"]
    assert outcome(imported(tmp_path / "a")) == (0, 0, 1, 0)


def test_someone_who_holds_it_keeps_it_and_will_be_told(tmp_path: Path) -> None:
    add_post(tmp_path / "a", 1, "First")
    imported(tmp_path / "a")
    queue_it()
    with transaction() as session:
        alder = make_person(session, "alder")
        later = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 1)
        session.execute(update(Assignment).values(user_id=alder.user_id, lease_until=later))
    add_post(tmp_path / "a", 1, "Second")
    result = imported(tmp_path / "a")
    candidate = only_candidate()
    assert outcome(result) == (0, 1, 0, 0)
    assert (candidate.state, candidate.caption_version) == (S.QUEUED, 2)


def test_a_decided_candidate_keeps_its_state_and_an_admin_is_told(tmp_path: Path) -> None:
    add_post(tmp_path / "a", 1, "First")
    imported(tmp_path / "a")
    queue_it()
    with transaction() as session:
        candidate = session.scalars(select(Candidate)).one()
        reject(session, candidate)
    add_post(tmp_path / "a", 1, "Second")
    result = imported(tmp_path / "a")
    after = only_candidate()
    assert outcome(result) == (0, 1, 0, 0)
    assert (after.state, after.caption_id, after.caption_version) == (S.REJECTED, candidate.caption_id, 1)
    assert captions() == ["First", "Second"]
    with transaction() as session:
        event = session.scalars(select(Event).where(Event.act == "candidate.source_changed")).one()
    assert event.subject_id == str(after.id)
    assert "Second" not in json.dumps(event.details)
    assert outcome(imported(tmp_path / "a")) == (0, 0, 1, 0)


def test_another_picture_at_the_same_position_is_a_new_candidate(tmp_path: Path) -> None:
    add_post(tmp_path / "a", 1)
    imported(tmp_path / "a")
    add_post(tmp_path / "a", 1, pictures=(make_picture(77),))
    assert outcome(imported(tmp_path / "a")) == (1, 0, 0, 0)
    with transaction() as session:
        assert len(set(session.execute(select(Candidate.post_id, Candidate.position)))) == 1
        assert session.scalar(select(func.count()).select_from(Candidate)) == 2


def test_trying_again_reads_only_what_was_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = instaloader_folder(tmp_path / "a")
    first = imported(folder)
    add_post(folder, 101, "Whole now.")
    read: list[str] = []
    real = intake.Importing.read
    monkeypatch.setattr(intake.Importing, "read", lambda self, name: read.append(name) or real(self, name))
    with transaction() as session:
        again = actions.try_again(session, SYSTEM, first)
    second = run(again)
    assert (again.retry_of, outcome(second)) == (first.run.id, (1, 0, 9, 2))
    assert len(read) == 1
    assert_sums_hold(second, count_files(folder))


def test_a_stopped_import_goes_on_with_a_new_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "ENTRIES_A_STEP", 2)
    folder = instaloader_folder(tmp_path / "a")
    made = start(folder)
    job = jobs.claim(made.job_id or 0)
    assert job
    with transaction() as session:
        jobs.request_cancel(session, job.id, None)
    with pytest.raises(jobs.Cancelled):
        run_import(job)
    job.finish(JobState.CANCELLED)
    with transaction() as session:
        again = actions.try_again(session, SYSTEM, queries.import_by_id(session, made.id))
    assert (again.id, again.job_id != job.id) == (made.id, True)
    result = run(again)
    assert outcome(result) == (9, 0, 0, 3)
    assert_sums_hold(result, count_files(folder))


def test_taking_back_withdraws_what_nobody_decided_and_the_files_can_come_again(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    for number in range(3):
        add_post(folder, number)
    first = imported(folder)
    queue_it()
    with transaction() as session:
        reject(session, session.scalars(select(Candidate).order_by(Candidate.id).limit(1)).one())
    with transaction() as session:
        assert queries.can_take_back(session, first.run.id) == queries.TakeBack(go=2, stay=1)
        with pytest.raises(Invalid, match="Type 2"):
            actions.take_back(session, SYSTEM, shown(first.run.id), 3)
        actions.take_back(session, SYSTEM, shown(first.run.id), 2)
    with transaction() as session:
        states = session.scalars(select(Candidate.state).order_by(Candidate.id)).all()
        assert sorted(states) == [S.REJECTED, S.WITHDRAWN, S.WITHDRAWN]
        assert session.scalar(select(func.count()).select_from(Review)) == 1
    assert outcome(imported(folder)) == (2, 0, 1, 0)


def test_taking_back_looks_again_at_copies_that_were_dropped_for_what_goes(tmp_path: Path) -> None:
    add_post(tmp_path / "a", 1)
    first = imported(tmp_path / "a")
    add_post(tmp_path / "b", 2, pictures=(make_picture(1),), owner="1002")
    imported(tmp_path / "b")
    with transaction() as session:
        kept, dropped = session.scalars(select(Candidate.id).order_by(Candidate.id))
        for id_ in (kept, dropped):
            due.forget(session, [id_])
            look(session, {id_: 2**200 - 1})
        assert states(session, kept, dropped) == ["kept", "copy"]
        actions.take_back(session, SYSTEM, shown(first.run.id), 1)
        job = session.scalars(select(Job).where(Job.kind == "rerun")).one()
        assert job.arguments == {"stage": "sameness", "candidates": [dropped]}
    worker.run_job(job.id)
    with transaction() as session:
        assert session.get_one(Candidate, dropped).state is S.FILTERING
        due.forget(session, [dropped])
        look(session, {dropped: 2**200 - 1})
        assert labels(session, dropped) == ["only"]


def test_the_report_lists_every_entry_and_file_and_no_cell_is_a_formula(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    pictures(folder, "a.jpg", "=b.jpg")
    rows = [["images/a.jpg", "=1+1", "birch", "1"], ["images/=b.jpg", "+cmd|' /C calc'!A0", "birch", "2"]]
    result = imported(table_folder(folder, rows))
    with transaction() as session:
        entries, files = queries.report_entries(session, result.run.id), queries.report_files(session, result.run.id)
        file = reports.as_csv(reports.lines(result.run, entries, files))
        text = b"".join(reports.chunks(file)).decode("utf-8-sig")
    read = list(csv.DictReader(io.StringIO(text)))
    assert [row["what"] for row in read] == ["entry", "entry", "file", "file", "file"]
    assert [row["caption"] for row in read[:2]] == ["'=1+1", "'+cmd|' /C calc'!A0"]
    assert not [cell for row in read for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]
