"""What an admin's home says: what needs them, what runs, who reviews."""

from datetime import timedelta

from sqlalchemy import func
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import Actor
from app.operations import queries
from app.tables import (
    Candidate,
    EntryOutcome,
    Import,
    ImportEntry,
    Job,
    JobState,
    ReviewKind,
    Role,
    Setting,
    Worker,
    WorkQueue,
)
from tests.candidates.deciding import decide
from tests.candidates.test_candidate_page import freeze
from tests.factories import make_candidate, make_import, make_person
from tests.web_client import SignIn


def needs(session: Session) -> list[str]:
    return [need.text for need in queries.overview(session).needs]


def work(session: Session, queue: WorkQueue = WorkQueue.CPU, seconds_ago: float = 0) -> Worker:
    seen = func.clock_timestamp() - timedelta(seconds=seconds_ago)
    worker = Worker(host="here", pid=1 + session.query(Worker).count(), queues=[queue.value], seen_at=seen)
    session.add(worker)
    session.flush()
    return worker


def test_a_queue_without_worker_needs_someone(session: Session) -> None:
    jobs.submit(session, "snapshot", WorkQueue.EXPORT, {})
    assert needs(session) == ["No worker serves “export”"]
    work(session, WorkQueue.EXPORT, seconds_ago=60)
    assert needs(session) == ["No worker serves “export”"], "it was last seen a minute ago"
    work(session, WorkQueue.EXPORT)
    assert needs(session) == []


def test_flagged_and_conflicting_candidates_need_someone(session: Session) -> None:
    session.merge(Setting(name="overlap_share", value=1))
    session.flush()
    alder, birch = make_person(session, "alder"), make_person(session, "birch")
    decide(session, alder, make_candidate(session), ReviewKind.FLAG)
    candidate = make_candidate(session)
    decide(session, alder, candidate)
    decide(session, birch, candidate, ReviewKind.ACCEPT)
    assert needs(session) == ["1 flagged candidate", "1 disagreement"]


def refused(session: Session, run: Import) -> None:
    session.add(ImportEntry(import_id=run.id, ordinal=1, outcome=EntryOutcome.REFUSED, reason="not_an_image"))
    session.flush()


def test_refused_rows_need_someone_until_they_are_tried_again_or_taken_back(session: Session) -> None:
    run, other = make_import(session), make_import(session)
    refused(session, run)
    refused(session, other)
    assert needs(session) == [f"Import {other.id} refused 1 row", f"Import {run.id} refused 1 row"]
    other.taken_back_at = func.clock_timestamp()
    again = make_import(session)
    again.retry_of = run.id
    session.flush()
    assert needs(session) == []


def stopped(session: Session, dedupe: str | None = None) -> Job:
    job = jobs.submit(session, "prefilter", WorkQueue.CPU, {"stage": "quality"}, dedupe=dedupe)
    job.state, job.error, job.finished_at = JobState.FAILED, "OSError: no", func.clock_timestamp()
    session.flush()
    return job


def test_a_caption_that_changed_at_its_source_after_review_needs_someone(session: Session, sign_in: SignIn) -> None:
    assert not [text for text in needs(session) if "changed at the source" in text]
    candidate = make_candidate(session)
    jobs.record(session, "candidate.source_changed", "candidate", candidate.id, details={"import": 1})
    assert "1 caption changed at the source after review" in needs(session)
    elm = sign_in("elm")
    assert "/activity?what=Source+changes" in elm.get("/").text
    page = elm.get("/activity?what=Source+changes").text
    assert "brought a new caption of" in page
    assert f"C-{candidate.id}" in page


def test_a_job_that_stopped_needs_someone_until_another_does_its_work(session: Session) -> None:
    work(session)
    stopped(session, dedupe="prefilter:quality")
    assert needs(session) == ["1 job stopped"]
    later = stopped(session, dedupe="prefilter:quality")
    later.state = JobState.SUCCEEDED
    session.flush()
    assert needs(session) == []


def test_running_jobs_stand_before_waiting_ones(session: Session) -> None:
    waits = jobs.submit(session, "import", WorkQueue.CPU, {"import": 1})
    runs = stopped(session)
    runs.state, runs.token = JobState.RUNNING, func.gen_random_uuid()
    last = jobs.submit(session, "import", WorkQueue.CPU, {"import": 2})
    session.flush()
    found = queries.overview(session).jobs
    assert [shown.job.id for shown in found] == [runs.id, last.id, waits.id]
    assert found[1].label == "Import 2"


def accepted(session: Session, actor: Actor) -> Candidate:
    candidate = make_candidate(session)
    decide(session, actor, candidate, ReviewKind.ACCEPT)
    return candidate


def test_it_says_how_much_came_since_the_newest_snapshot(session: Session) -> None:
    alder = make_person(session, "alder")
    freeze(session, accepted(session, alder), number=3)
    accepted(session, alder)
    found = queries.overview(session)
    assert (found.snapshot, found.since_snapshot) == (3, 1)


def test_reviewers_have_their_figures_without_what_was_undone(session: Session) -> None:
    from app.curation import actions

    alder = make_person(session, "alder")
    accepted(session, alder)
    decide(session, alder, make_candidate(session))
    review = decide(session, alder, make_candidate(session))
    actions.undo(session, alder, review.id)
    (found,) = queries.reviewers(session)
    assert (found.name, found.decisions, found.accepted, found.seconds) == ("alder", 2, 0.5, 4.2)
    assert (len(found.days), found.days[-1], sum(found.days)) == (14, 2, 2)


def test_the_pace_of_a_week_says_when_the_queue_is_empty(session: Session) -> None:
    accepted(session, make_person(session, "alder"))
    make_candidate(session)
    found = queries.overview(session)
    now = session.scalar(func.clock_timestamp().select())
    assert now is not None
    assert found.empty_on == (now + timedelta(days=7)).date()


def test_home_of_an_admin_shows_it_all(session: Session, sign_in: SignIn) -> None:
    elm = sign_in("elm")
    assert "Nothing has come in yet" in elm.get("/").text
    accepted(session, make_person(session, "rowan", Role.REVIEWER))
    jobs.submit(session, "import", WorkQueue.CPU, {"import": 43})
    from app.tables import Tally

    session.query(Tally).delete()
    page = elm.get("/")
    assert page.status_code == 200
    for words in ("1 pair accepted", "1 image.", "Import 43", "No worker serves “cpu”", "Rowan", "100"):
        assert words in page.text
