"""The pre-filter's pages: counts that add up, thresholds that are refused with a reason, samples at the line."""

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from app.prefilter import actions, due, funnel
from app.prefilter.policies import StageResult
from app.prefilter.recording import write_findings
from app.prefilter.stages import BY_NAME, NAMES
from app.tables import Candidate, CandidateState, Finding, FindingNow, Outcome, Stage
from tests.factories import make_candidate
from tests.web_client import SignIn

S = CandidateState


def scored(session: Session, candidate: Candidate, **scores: float) -> None:
    """Findings with these scores, by stage."""
    for stage, score in scores.items():
        about = {"candidate_id": candidate.id, "stage": stage, "outcome": Outcome.OK, "score": score}
        finding = Finding(**about, stage_version="1", input_hash=f"{candidate.id}{stage}", evidence={})
        session.add(finding)
        session.flush()
        session.add(FindingNow(**about, finding_id=finding.id))
    session.flush()


def stop(session: Session, candidate: Candidate, stage: str) -> None:
    values = {"state": S.FILTERED_OUT, "stopped_by": stage}
    session.execute(update(Candidate).where(Candidate.id == candidate.id).values(values))


def test_what_goes_into_a_stage_is_what_the_one_before_let_through(session: Session) -> None:
    all_stages = dict.fromkeys(NAMES, 0.9)
    for stopped_by in (None, None, "quality", "domain", "caption"):
        candidate = make_candidate(session)
        scored(session, candidate, **all_stages)  # also by stages behind the one whose threshold was moved later
        if stopped_by:
            stop(session, candidate, stopped_by)
    again = make_candidate(session, S.FILTERING)
    scored(session, again, **all_stages)  # by every stage, and sent back since
    due.due(session, BY_NAME["sameness"], [again.id])
    make_candidate(session, S.FILTERING)
    make_candidate(session, S.INCOMING)
    make_candidate(session, S.WITHDRAWN)
    total, counts = funnel.funnel(session)
    assert total == 8
    assert [(c.stage.name, c.due, c.dropped, c.through) for c in counts] == [
        ("quality", 2, 1, 5),
        ("embedding", 0, 0, 5),
        ("sameness", 1, 0, 4),
        ("domain", 0, 1, 3),
        ("panels", 0, 0, 3),
        ("faces", 0, 0, 3),
        ("writing", 0, 0, 3),
        ("caption", 0, 1, 2),
        ("private", 0, 0, 2),
        ("language", 0, 0, 2),
        ("llm", 0, 0, 2),
        ("alignment", 0, 0, 2),
    ]
    assert [c.dropped_before for c in counts] == [0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]


def test_a_stage_counts_what_it_could_not_score_among_those_it_let_through(session: Session) -> None:
    for outcome in (Outcome.NOT_RUN, Outcome.NOT_RUN, Outcome.ERROR):
        candidate = make_candidate(session)
        write_findings(session, "domain", "1", [StageResult(candidate.id, outcome)], {candidate.id: "x"}, None)
    stop(session, candidate, "caption")
    _, counts = funnel.funnel(session)
    assert [(c.not_run, c.errors) for c in counts if c.stage.name == "domain"] == [(2, 0)]


@pytest.mark.parametrize("typed", ["abc", "1.5", "-1", "nan", "1e999"])
def test_a_threshold_that_is_none_is_refused_beside_its_field(sign_in: SignIn, session: Session, typed: str) -> None:
    scored(session, make_candidate(session), domain=0.6)
    admin = sign_in("elm")
    before = session.get_one(Stage, "domain").threshold
    pages = (
        admin.get("/prefilter/domain", params={"threshold": typed}),
        admin.get("/prefilter/domain", params={"threshold": typed}, headers={"HX-Request": "true"}),
        admin.post("/prefilter/domain/threshold", data={"threshold": typed, "expected": str(before)}),
    )
    assert {page.status_code for page in pages} == {422}
    assert all("Type a number from 0 to 1, such as 0.35." in page.text for page in pages)
    session.expire_all()
    assert session.get_one(Stage, "domain").threshold == before


def test_samples_of_the_caption_stage_show_their_captions(sign_in: SignIn, session: Session) -> None:
    candidate = make_candidate(session, caption="Nests of <basaloid> cells.")
    scored(session, candidate, caption=0.4, domain=0.4)
    admin = sign_in("elm")
    assert "Nests of &lt;basaloid&gt; cells." in admin.get("/prefilter/caption").text
    assert "basaloid" not in admin.get("/prefilter/domain").text
    scored(session, make_candidate(session, caption=""), caption=0.3)
    assert "No caption" in admin.get("/prefilter/caption").text


@pytest.mark.parametrize(("threshold", "said"), [("0.5", "1 changes sides"), ("0.9", "2 change sides")])
def test_the_apply_button_says_how_many_change_sides(
    sign_in: SignIn, session: Session, threshold: str, said: str
) -> None:
    for score in (0.4, 0.6):
        scored(session, make_candidate(session), caption=score)
    assert said in sign_in("elm").get("/prefilter/caption", params={"threshold": threshold}).text


def test_running_again_says_that_decided_ones_stay(sign_in: SignIn, session: Session) -> None:
    scored(session, make_candidate(session), caption=0.6)
    admin = sign_in("elm")
    for path in ("/prefilter", "/prefilter/caption"):
        assert "Decided candidates stay as they are" in admin.get(path).text


def test_more_candidates_go_through_again_than_a_statement_has_parameters(session: Session) -> None:
    candidate = make_candidate(session)
    scored(session, candidate, quality=0.9)
    assert actions.send_back(session, "quality", range(candidate.id, candidate.id + 70_000), 0) == (1, candidate.id)


WHY = "the encoder in use has no text side with trained weights"


def not_run(session: Session, stage: str) -> None:
    unseen = make_candidate(session)
    result = StageResult(unseen.id, Outcome.NOT_RUN, evidence={"why": WHY})
    write_findings(session, stage, "1", [result], {unseen.id: "x"}, None)


def test_a_stage_that_was_not_run_at_all_says_why(session: Session, sign_in: SignIn) -> None:
    not_run(session, "alignment")
    page = sign_in("elm").get("/prefilter/alignment").text
    assert f"Not run, because {WHY}." in page
    assert "has not looked at any candidate" not in page


@pytest.mark.parametrize("stage", ["alignment", "faces"])
def test_a_stage_that_passed_some_on_without_a_look_says_how_many_and_why(
    session: Session, sign_in: SignIn, stage: str
) -> None:
    not_run(session, stage)
    scored(session, make_candidate(session), **{stage: 0.4})
    assert f"Not run on 1 candidate, because {WHY}." in sign_in("elm").get(f"/prefilter/{stage}").text
