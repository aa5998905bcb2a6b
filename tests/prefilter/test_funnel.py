"""The funnel's page: why stages dropped what they dropped, whose it was, by the week, and what a lower line costs."""

import re
from datetime import timedelta

from sqlalchemy import func, update
from sqlalchemy.orm import Session

from app.prefilter import evidence, funnel, rates
from app.prefilter.funnel import Reason
from app.prefilter.policies import StageResult
from app.prefilter.recording import write_findings
from app.prefilter.stages import BY_NAME, NAMES
from app.tables import Candidate, CandidateState, Import, Job, JobState
from tests.factories import make_candidate, make_import
from tests.web_client import SignIn

S = CandidateState


def dropped(
    session: Session, stage: str, label: str | None, score: float = 0.0, run: Import | None = None
) -> Candidate:
    """A candidate that a stage dropped under a label."""
    candidate = make_candidate(session, S.FILTERED_OUT, run=run)
    session.execute(update(Candidate).where(Candidate.id == candidate.id).values(stopped_by=stage))
    result = StageResult(candidate.id, score=score, label=label)
    write_findings(session, stage, "1", [result], {candidate.id: "x"}, None)
    return candidate


# --- reasons ------------------------------------------------------------------------------------


def test_a_stage_says_as_what_it_dropped_candidates_the_most_frequent_first(session: Session) -> None:
    for label in ("blank", "too small", "too small", None):
        dropped(session, "quality", label)
    dropped(session, "language", "de")
    by_name = {counts.stage.name: counts for counts in funnel.funnel(session)[1]}
    assert by_name["quality"].reasons == [
        Reason("too small", "too small", 2),
        Reason("blank", "blank", 1),
    ]
    assert by_name["quality"].dropped == 4
    assert by_name["language"].reasons == [Reason("de", "German", 1)]
    assert not by_name["domain"].reasons


def test_what_a_label_alone_would_not_drop_is_below_a_line_that_was_raised() -> None:
    assert funnel.reason_words("quality", "sharp") == "sharp, but below the line"
    assert funnel.reason_words("quality", "blank") == "blank"


def test_a_label_of_another_stage_than_the_one_that_stopped_it_is_no_reason(session: Session) -> None:
    candidate = dropped(session, "domain", "other")
    write_findings(session, "quality", "1", [StageResult(candidate.id, label="sharp")], {candidate.id: "x"}, None)
    by_name = {counts.stage.name: counts for counts in funnel.funnel(session)[1]}
    assert not by_name["quality"].reasons
    assert [reason.label for reason in by_name["domain"].reasons] == ["other"]


def test_a_reason_opens_the_list_of_just_these_candidates(session: Session, sign_in: SignIn) -> None:
    small, blank = dropped(session, "quality", "too small"), dropped(session, "quality", "blank")
    elm = sign_in("elm")
    (link,) = re.findall(r'href="([^"]*reason=too%20small[^"]*)"', elm.get("/prefilter").text)
    page = elm.get(link.replace("&amp;", "&")).text
    assert f'href="/candidates/{small.id}' in page
    assert f'href="/candidates/{blank.id}' not in page
    assert "Remove filter Too small" in page


def test_a_reason_that_no_stage_gives_lists_nothing(session: Session, sign_in: SignIn) -> None:
    small = dropped(session, "quality", "too small")
    elm = sign_in("elm")
    assert f'href="/candidates/{small.id}' not in elm.get("/candidates?state=filtered_out&reason=ugly").text
    assert elm.get("/candidates", params={"reason": "x" * 500}).status_code in (200, 422)


# --- whose --------------------------------------------------------------------------------------


def test_what_people_said_is_of_the_chosen_source_or_import_alone(session: Session) -> None:
    mine, other = make_import(session, "alder_path"), make_import(session, "birch_path")
    for run, count in ((mine, 1), (other, 2)):
        for _ in range(count):
            dropped(session, "domain", "other", 0.1, run)
    everyone = evidence.effects(session)["domain"].dropped
    assert everyone == 3
    assert evidence.effects(session, mine.source_id)["domain"].dropped == 1
    assert evidence.effects(session, None, other.id)["domain"].dropped == 2
    assert evidence.effects(session, mine.source_id, other.id)["domain"].dropped == 0


def test_links_of_a_narrowed_funnel_stay_narrowed(session: Session, sign_in: SignIn) -> None:
    run = make_import(session, "alder_path")
    dropped(session, "quality", "blank", run=run)
    page = sign_in("elm").get("/prefilter", params={"import_id": run.id}).text
    assert f"stopped=quality&amp;reason=blank&amp;import_id={run.id}" in page
    assert f"stopped=quality&amp;import_id={run.id}" in page


# --- over time ----------------------------------------------------------------------------------


def test_every_week_says_what_each_stage_dropped_of_it(session: Session, sign_in: SignIn) -> None:
    early = [dropped(session, "quality", "blank"), make_candidate(session)]
    dropped(session, "domain", "other")
    ids = [candidate.id for candidate in early]
    before = Candidate.created_at - timedelta(weeks=2)
    session.execute(update(Candidate).where(Candidate.id.in_(ids)).values(created_at=before))
    first, last = funnel.weeks(session, [])
    assert (first.total, first.dropped, first.by_stage["quality"], first.by_stage["domain"]) == (2, 1, 1, 0)
    assert (last.total, last.dropped, last.by_stage["quality"], last.by_stage["domain"]) == (1, 1, 0, 1)
    assert tuple(first.by_stage) == NAMES
    assert funnel.weeks(session, [], limit=1) == [last]
    page = sign_in("elm").get("/prefilter").text
    table = page[page.index("By the week they came in") :]
    assert re.findall(r'<th scope="col" class="r hide-s">(\w+)</th>', table) == ["Quality", "Histology"]
    assert "50.0" in table


# --- what a lower line costs --------------------------------------------------------------------


def ran(session: Session, stage: str, done: int, seconds: float, state: JobState = JobState.SUCCEEDED) -> None:
    """A stage's job that took so long for so many candidates."""
    now = func.clock_timestamp()
    session.add(
        Job(
            kind="prefilter",
            queue=BY_NAME[stage].queue,
            arguments={"stage": stage},
            state=state,
            done=done,
            started_at=now - timedelta(seconds=seconds),
            finished_at=now,
        )
    )
    session.flush()


def test_a_stage_takes_what_its_runs_took_weighed_by_their_candidates(session: Session) -> None:
    ran(session, "faces", 10, 10)
    ran(session, "faces", 30, 10)
    ran(session, "faces", 100, 1000, JobState.CANCELLED)
    ran(session, "writing", 0, 50)
    each = rates.seconds_each(session)
    assert {name: round(seconds, 2) for name, seconds in each.items()} == {"faces": 0.5}


def test_a_preview_says_which_stages_those_that_come_back_need_and_for_how_long(
    session: Session, sign_in: SignIn
) -> None:
    for _ in range(3):
        dropped(session, "caption", None, 0.3)
    elm = sign_in("elm")
    lower = "/prefilter/caption?threshold=0.2"
    needed = "Those that come back go through Private details, Language, Language model, Alignment before"
    assert f"{needed} a reviewer sees them. Not measured yet: Private details, Language," in elm.get(lower).text
    for stage in ("private", "language", "llm", "alignment"):
        ran(session, stage, 10, 50)
    page = elm.get(lower).text
    assert "at most 1\N{NO-BREAK SPACE}min, by what the last runs took" in page
    assert "Not measured yet" not in page


def test_where_nobody_comes_back_no_later_stage_is_named(session: Session, sign_in: SignIn) -> None:
    dropped(session, "caption", None, 0.3)
    assert "Those that come back" not in sign_in("elm").get("/prefilter/caption?threshold=0.35").text
