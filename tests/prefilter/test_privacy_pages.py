"""What kinds of private details do: the page, its preview, and how a change moves candidates."""

import re

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.policies import SYSTEM, Actor
from app.curation import leases
from app.errors import Conflict
from app.prefilter import actions, held, holding, privacy, stages
from app.prefilter.privacy import Action
from app.prefilter.queries import stage_row
from app.tables import Candidate, CandidateState, Event, Job, StageTodo
from tests.factories import make_candidate, make_person
from tests.prefilter.holding import A_FACE, NO_FACE, look, make_held
from tests.web_client import SignIn

S = CandidateState


def set_actions(session: Session, stage: str, **actions_: str) -> bool:
    return holding.set_actions(session, SYSTEM, {stage: actions_}, held.version(held.actions(session)))


def apply(session: Session, stage: str = "faces") -> tuple[int, int]:
    """What the job of a change does: (held, let go)."""
    counts, after = (0, 0), 0
    while after is not None:
        dropped, reopened, after = actions.apply_threshold(session, stage, after)
        counts = (counts[0] + dropped, counts[1] + reopened)
    return counts


def with_face(session: Session, state: CandidateState) -> Candidate:
    """One in which a face was found while nothing was held."""
    set_actions(session, "faces", face="warn")
    candidate = make_candidate(session, S.FILTERING)
    look(session, candidate, A_FACE)
    if state is not S.FILTERING:
        from app.curation import moves

        ids = [candidate.id]
        _ = moves.enqueue(session, ids) if state is S.QUEUED else moves.filter_out(session, ids, "alignment")
    session.refresh(candidate)
    return candidate


# --- pure ---------------------------------------------------------------------------------------


def test_the_most_is_done_that_any_kind_asks_for() -> None:
    actions_ = {"name": "redact", "link": "warn", "date": "hold"}
    asked = {(): Action.PASS, ("handle",): Action.PASS, ("link", "name"): Action.REDACT, ("date", "name"): Action.HOLD}
    assert {kinds: privacy.strongest(kinds, actions_) for kinds in asked} == asked


def test_kinds_are_told_in_words() -> None:
    assert privacy.counted({"face": 2, "record_number": 1}) == "2 faces, 1 record number"
    assert (
        privacy.counted({"email": 2, "age": 2, "writing": 3})
        == "2 e-mail addresses, 2 ages over 89, 3 lines of writing"
    )


def test_every_kind_has_a_title_and_words_and_every_stage_is_one() -> None:
    assert set(privacy.TITLES) == set(privacy.ONE) == set(privacy.PrivateKind)
    assert set(privacy.OF_STAGE) <= set(stages.NAMES)


# --- a change -----------------------------------------------------------------------------------


def test_a_change_is_kept_with_an_event_and_can_be_set_back(session: Session) -> None:
    assert set_actions(session, "faces", face="warn")
    assert stage_row(session, "faces").setting["actions"] == {"face": "warn"}
    event = session.scalars(select(Event).where(Event.act == "stage.privacy_changed")).one()
    assert (event.subject_id, event.details) == ("faces", {"from": {"face": "hold"}, "to": {"face": "warn"}})
    assert set_actions(session, "faces", face="hold")
    assert not set_actions(session, "faces", face="hold")


def test_a_change_of_settings_that_another_changed_meanwhile_is_refused(session: Session) -> None:
    seen = held.version(held.actions(session))
    holding.set_actions(session, SYSTEM, {"faces": {"face": "warn"}}, seen)
    with pytest.raises(Conflict, match="meanwhile"):
        holding.set_actions(session, SYSTEM, {"faces": {"face": "pass"}}, seen)


def test_captions_are_looked_at_again_when_what_is_taken_out_changes(session: Session) -> None:
    def jobs(stage: str) -> set[str]:
        kinds = select(Job.kind).where(Job.arguments["stage"].astext == stage, Job.kind.in_(["threshold", "rerun"]))
        return set(session.scalars(kinds))

    set_actions(session, "private", name="hold")
    set_actions(session, "private", link="pass")
    set_actions(session, "writing", name="warn")
    assert jobs("private") == jobs("writing") == {"threshold"}, "what is held is taken out as well"
    set_actions(session, "private", link="hold")
    assert jobs("private") == {"threshold", "rerun"}


@pytest.mark.parametrize("state", [S.FILTERING, S.QUEUED, S.FILTERED_OUT])
def test_undecided_ones_are_held_when_a_kind_is_set_to_hold(session: Session, state: CandidateState) -> None:
    candidate, plain = with_face(session, state), make_candidate(session, S.FILTERING)
    look(session, plain, NO_FACE)
    set_actions(session, "faces", face="hold")
    assert held.effect(session, "faces", {"face": "hold"}) == held.Effect(held=1)
    assert apply(session) == (1, 0)
    session.refresh(candidate)
    assert (candidate.state, candidate.stopped_by) == (S.FLAGGED, "faces")
    assert not session.scalars(select(StageTodo).where(StageTodo.candidate_id == candidate.id)).all()
    session.refresh(plain)
    assert plain.state is S.FILTERING


def test_one_that_a_reviewer_has_is_left_to_them(session: Session) -> None:
    candidate, alder = with_face(session, S.QUEUED), make_person(session, "alder2")
    leases.hold(session, alder)
    set_actions(session, "faces", face="hold")
    assert apply(session) == (0, 0)
    assert actions.left_in_review(session, "faces") == 1
    session.refresh(candidate)
    assert candidate.state is S.QUEUED


def test_held_ones_go_on_through_their_stage_when_nothing_holds_them_any_more(session: Session) -> None:
    candidate = make_held(session)
    assert held.effect(session, "faces", {"face": "warn"}) == held.Effect(let_go=1)
    set_actions(session, "faces", face="warn")
    assert apply(session) == (0, 1)
    session.refresh(candidate)
    waits = list(session.scalars(select(StageTodo.stage).where(StageTodo.candidate_id == candidate.id)))
    assert (candidate.state, waits) == (S.FILTERING, ["faces"])
    look(session, candidate, A_FACE)
    assert candidate.state is S.FILTERING


def test_what_another_kind_still_holds_stays(session: Session) -> None:
    evidence = {"boxes": [], "kinds": {"record_number": 1, "name": 1}}
    candidate = make_held(session, evidence, "writing")
    set_actions(session, "writing", name="hold")
    set_actions(session, "writing", record_number="warn")
    assert apply(session, "writing") == (0, 0)
    session.refresh(candidate)
    assert candidate.state is S.FLAGGED


def test_what_an_admin_released_or_decided_is_not_held_by_a_change(session: Session) -> None:
    elm: Actor = SYSTEM
    released = make_held(session)
    holding.release(session, elm, [released.id])
    set_actions(session, "faces", face="warn")
    set_actions(session, "faces", face="hold")
    assert apply(session) == (0, 0)


# --- the page -----------------------------------------------------------------------------------


def seen_on(page: str) -> str:
    found = re.search(r'name="seen" value="(\w+)"', page)
    assert found
    return found[1]


def test_the_page_lists_every_kind_where_it_can_be_with_what_has_it(session: Session, sign_in: SignIn) -> None:
    make_held(session)
    elm = sign_in("elm")
    page = elm.get("/prefilter/privacy").text
    assert page.count('name="done"') == sum(map(len, privacy.OF_STAGE.values()))
    assert 'href="/candidates?found=faces.face"' in page
    assert '<option value="faces.face.hold" selected>' in page
    listed = elm.get("/candidates?found=faces.face").text
    assert "Faces in the picture" in listed
    assert listed.count("/thumbs/") == 1
    assert "No candidate fits" in elm.get("/candidates?found=private.name").text
    assert "can’t be read" in elm.get("/candidates?found=faces.name").text


def test_the_pre_filter_leads_there_without_candidates_and_rows_name_their_columns(sign_in: SignIn) -> None:
    elm = sign_in("elm")
    page = elm.get("/prefilter").text
    assert "Nothing to filter yet" in page
    assert all(f'href="/prefilter/{path}"' in page for path in ("privacy", "held"))
    page = elm.get("/prefilter/privacy").text
    assert page.count('<td data-label="In captions">') == page.count('<td data-label="In pictures">') > 0


def test_a_preview_changes_nothing_and_saving_does(session: Session, sign_in: SignIn) -> None:
    make_held(session)
    elm = sign_in("elm")
    page = elm.get("/prefilter/privacy?done=faces.face.warn").text
    assert "<b>1</b> would be let go" in page
    assert held.actions(session)["faces"] == {"face": "hold"}
    sent = {"done": ["faces.face.warn", "writing.name.redact"], "seen": seen_on(page)}
    assert elm.post("/prefilter/privacy", data=sent, follow_redirects=False).status_code == 303
    assert "Saved" in elm.get("/prefilter/privacy").text
    assert held.actions(session)["faces"] == {"face": "warn"}
    assert "face: hold → warn" in elm.get("/activity").text
    assert elm.post("/prefilter/privacy", data=sent).status_code == 409


@pytest.mark.parametrize("done", ["faces.face.burn", "faces.name.hold", "domain.face.hold", "x", ""])
def test_what_is_not_on_the_page_is_refused(session: Session, sign_in: SignIn, done: str) -> None:
    elm = sign_in("elm")
    sent = {"done": [done], "seen": seen_on(elm.get("/prefilter/privacy").text)}
    assert elm.post("/prefilter/privacy", data=sent).status_code == 422
    assert elm.get(f"/prefilter/privacy?done={done}").status_code == 200
    assert held.actions(session)["faces"] == {"face": "hold"}
