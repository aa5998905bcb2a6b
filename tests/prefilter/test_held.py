"""Held candidates: released, rejected, held again; and that nobody but an admin gets to see one anywhere."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.policies import Actor
from app.accounts.queries import actor_of
from app.candidates import queries as candidates
from app.candidates.queries import Filter
from app.curation import actions as curation
from app.curation import leases, moves, proposals
from app.curation import queries as curation_queries
from app.curation.policies import is_withheld
from app.errors import Conflict, Invalid
from app.operations.queries import overview
from app.prefilter import due, funnel, held, holding
from app.prefilter import queries as prefilter
from app.prefilter.stages import BY_NAME
from app.search import queries as search
from app.tables import (
    Candidate,
    CandidateState,
    DuplicateGroup,
    DuplicateMember,
    Event,
    Finding,
    FindingNow,
    FlagOrigin,
    Image,
    Post,
    Release,
    Review,
    ReviewKind,
    Role,
    StageTodo,
    User,
)
from tests.candidates.deciding import decide
from tests.factories import make_candidate, make_person
from tests.prefilter.holding import A_FACE, NO_FACE, look, make_held
from tests.web_client import SignIn

S = CandidateState


@pytest.fixture
def elm(session: Session) -> Actor:
    return make_person(session, "elm2", Role.ADMIN)


@pytest.fixture
def alder(session: Session) -> Actor:
    return make_person(session, "alder2")


def waits_for(session: Session, candidate: Candidate) -> list[str]:
    return list(session.scalars(select(StageTodo.stage).where(StageTodo.candidate_id == candidate.id)))


# --- release and reject -------------------------------------------------------------------------


def test_a_released_candidate_goes_on_with_the_next_stage(session: Session, elm: Actor) -> None:
    candidate = make_held(session)
    assert holding.release(session, elm, [candidate.id]) == 1
    session.refresh(candidate)
    assert (candidate.state, candidate.flag_origin, candidate.stopped_by) == (S.FILTERING, None, None)
    assert waits_for(session, candidate) == ["writing"]
    assert session.scalar(select(Event.details).where(Event.act == "candidate.released")) == {"stage": "faces"}


def test_what_was_released_is_not_held_for_the_same_finding_but_for_another(session: Session, elm: Actor) -> None:
    candidate = make_held(session)
    holding.release(session, elm, [candidate.id])
    look(session, candidate, A_FACE)
    assert candidate.state is S.FILTERING
    look(session, candidate, A_FACE, seen="another picture")
    assert candidate.state is S.FLAGGED


def test_a_caption_that_changed_while_it_was_held_is_looked_at_before_it_goes_on(session: Session, elm: Actor) -> None:
    row = prefilter.stage_row(session, "private")
    row.setting = {"actions": {"name": "hold"}}
    session.flush()
    candidate = make_candidate(session, S.FILTERING)
    for stage in ("caption", "private"):
        look(session, candidate, {"kinds": {"name": 1}} if stage == "private" else {}, stage)
    session.execute(update(FindingNow).where(FindingNow.candidate_id == candidate.id).values(stale=True))
    holding.release(session, elm, [candidate.id])
    assert waits_for(session, candidate) == ["caption"]


def test_releasing_twice_or_what_is_not_held_does_nothing(session: Session, elm: Actor) -> None:
    candidate, queued = make_held(session), make_candidate(session)
    assert holding.release(session, elm, [candidate.id, queued.id]) == 1
    assert holding.release(session, elm, [candidate.id, queued.id, 10**9]) == 0
    assert session.scalar(select(func.count()).select_from(Release)) == 1


def test_a_rejected_one_has_a_review_of_an_admin_and_stays_out_of_sight(
    session: Session, elm: Actor, alder: Actor
) -> None:
    candidate = make_held(session)
    assert holding.reject(session, elm, [candidate.id], "person_recognisable") == 1
    session.refresh(candidate)
    review = session.scalars(select(Review).where(Review.candidate_id == candidate.id)).one()
    assert (candidate.state, review.purpose.value, candidate.settled_by) == (S.REJECTED, "resolution", review.id)
    assert candidates.sees(session, elm, candidate.id)
    assert not candidates.sees(session, alder, candidate.id)


def test_a_rejection_needs_a_reason_of_the_list(session: Session, elm: Actor) -> None:
    candidate = make_held(session)
    for reason in ("", "nothing of the list"):
        with pytest.raises(Invalid), session.begin_nested():
            holding.reject(session, elm, [candidate.id], reason)
    session.refresh(candidate)
    assert candidate.state is S.FLAGGED


def test_an_admin_may_accept_what_is_held_and_then_everybody_sees_it(
    session: Session, elm: Actor, alder: Actor
) -> None:
    candidate = make_held(session)
    sent = (candidate.id, uuid4(), candidate.caption_version, uuid4(), ReviewKind.ACCEPT)
    decision = curation.Decision(*sent, caption="Basal cell carcinoma.", masks=())
    curation.resolve(session, elm, decision)
    session.refresh(candidate)
    assert (candidate.state, candidate.stopped_by) == (S.ACCEPTED, None)
    assert candidates.sees(session, alder, candidate.id)


def test_what_is_held_is_not_sent_to_the_queue_past_its_stages(session: Session, elm: Actor) -> None:
    candidate = make_held(session)
    with pytest.raises(Conflict, match="held"):
        curation.requeue(session, elm, candidate.id)
    holding.reject(session, elm, [candidate.id], "other")
    with pytest.raises(Conflict, match="held"):
        curation.requeue(session, elm, candidate.id)


# --- taking it back -----------------------------------------------------------------------------


def test_a_release_is_taken_back_while_nobody_has_the_candidate(session: Session, elm: Actor) -> None:
    candidate = make_held(session)
    holding.release(session, elm, [candidate.id])
    holding.hold_again(session, elm, candidate.id)
    assert (candidate.state, candidate.stopped_by) == (S.FLAGGED, "faces")
    assert waits_for(session, candidate) == []
    look_again = held.listed(session, "", 0, 10)
    assert [one.candidate_id for one in look_again] == [candidate.id]
    holding.release(session, elm, [candidate.id])
    moves.enqueue(session, [candidate.id])
    holding.hold_again(session, elm, candidate.id)
    assert candidate.state is S.FLAGGED


def test_holding_again_takes_back_that_stages_release_alone(session: Session, elm: Actor) -> None:
    candidate = make_held(session)
    holding.release(session, elm, [candidate.id])
    look(session, candidate, {"boxes": [], "kinds": {"record_number": 1}}, "writing")
    holding.release(session, elm, [candidate.id])
    first = select(Finding.id).where(Finding.stage == "faces").scalar_subquery()
    an_hour_ago = func.clock_timestamp() - timedelta(hours=1)
    session.execute(update(Release).where(Release.finding_id == first).values(at=an_hour_ago))
    holding.hold_again(session, elm, candidate.id)
    assert (candidate.state, candidate.stopped_by) == (S.FLAGGED, "writing")
    assert session.scalars(select(Finding.stage).join(Release, Release.finding_id == Finding.id)).all() == ["faces"]


def test_a_release_stands_once_someone_reviews_the_candidate(session: Session, elm: Actor, alder: Actor) -> None:
    candidate = make_held(session)
    holding.release(session, elm, [candidate.id])
    moves.enqueue(session, [candidate.id])
    leases.hold(session, alder)
    with pytest.raises(Conflict, match="with a reviewer"):
        holding.hold_again(session, elm, candidate.id)


def test_a_rejection_is_taken_back_to_where_it_was_held(session: Session, elm: Actor, alder: Actor) -> None:
    candidate = make_held(session)
    holding.reject(session, elm, [candidate.id], "person_recognisable")
    holding.hold_again(session, elm, candidate.id)
    assert (candidate.state, candidate.stopped_by, candidate.settled_by) == (S.FLAGGED, "faces", None)
    assert leases.hold(session, alder) == []
    with pytest.raises(Conflict):
        holding.hold_again(session, elm, candidate.id)


def test_what_was_settled_lately_is_listed_the_newest_first(session: Session, elm: Actor) -> None:
    released, rejected, accepted = (make_held(session) for _ in range(3))
    holding.release(session, elm, [released.id])
    holding.reject(session, elm, [rejected.id], "other")
    found = held.settled_lately(session)
    assert {(one.candidate_id, one.word) for one in found} == {(released.id, "released"), (rejected.id, "rejected")}
    assert accepted.id not in {one.candidate_id for one in found}


# --- nobody else sees it ------------------------------------------------------------------------


def test_the_condition_and_the_predicate_agree_on_every_candidate(session: Session, elm: Actor) -> None:
    moved = {
        S.FLAGGED: {"flag_origin": FlagOrigin.PERSON},
        S.ACCEPTED: {},
        S.REJECTED: {},
        S.CONFLICTED: {},
        S.FILTERED_OUT: {"stopped_by": "domain"},
        S.WITHDRAWN: {},
    }
    for state, values in moved.items():
        moves.move(session, [make_candidate(session).id], S.QUEUED, state, **values)
    make_held(session)
    holding.reject(session, elm, [make_held(session).id], "other")
    rows = session.execute(
        select(Candidate.state, Candidate.flag_origin, Candidate.stopped_by, candidates.withheld())
    ).all()
    assert len(rows) == 8
    assert sum(withheld for *_, withheld in rows) == 2
    for state, origin, stopped_by, withheld in rows:
        assert withheld is is_withheld(state, origin, stopped_by), (state, origin, stopped_by)


@pytest.fixture(params=["held", "rejected"])
def hidden(request: pytest.FixtureRequest, session: Session, elm: Actor) -> Candidate:
    """A candidate that a machine holds, and one that an admin rejected while it did."""
    candidate = make_held(session, caption="Unutterable zygomycosis of Ada Alder", with_blob=True)
    if request.param == "rejected":
        holding.reject(session, elm, [candidate.id], "person_recognisable")
        session.refresh(candidate)
    return candidate


def test_it_is_in_no_list_and_no_count_of_a_reviewer(
    session: Session, alder: Actor, elm: Actor, hidden: Candidate
) -> None:
    def ids(actor: Actor, **wanted: object) -> list[int]:
        return [row.id for row in candidates.listed(session, actor, Filter(**wanted), 9)]  # type: ignore[arg-type]

    for wanted in ({}, {"states": [hidden.state.value]}, {"post_id": hidden.post_id}, {"stopped_by": "faces"}):
        assert ids(alder, **wanted) == []
        assert ids(elm, **wanted) == [hidden.id]
    assert sum(candidates.counts(session, alder).values()) == 0
    assert candidates.matching(session, alder, Filter()) == []
    assert candidates.jump(session, alder, hidden.id) == []
    assert candidates.jump(session, elm, hidden.id) != []


def test_no_search_finds_it_nor_offers_its_words(session: Session, alder: Actor, elm: Actor, hidden: Candidate) -> None:
    for actor in (alder, elm):
        ids = search.searchable(actor, Filter())
        assert search.by_words(session, ids, search.said("zygomycosis")) == []
        assert search.newest(session, ids) == []
    assert search.near_words(session, "zygomycosys") == []
    assert not search.is_said(session, "zygomycosis")


PAGES: dict[str, Callable[[Candidate, str], str]] = {
    "its page": lambda candidate, _sha: f"/candidates/{candidate.id}",
    "its picture": lambda _candidate, sha: f"/images/{sha}.jpg",
    "its thumbnail": lambda _candidate, sha: f"/thumbs/{sha}.jpg",
}


@pytest.mark.parametrize("page", PAGES)
def test_its_page_and_pictures_are_for_admins(session: Session, sign_in: SignIn, hidden: Candidate, page: str) -> None:
    sha256 = session.get_one(Image, hidden.image_id).sha256
    path = PAGES[page](hidden, sha256)
    assert [sign_in(name).get(path).status_code for name in ("hazel", "elm")] == [404, 200]
    assert sign_in("fir").get(path).status_code in (403, 404)


def test_its_picture_is_seen_where_another_candidate_shows_it(
    session: Session, sign_in: SignIn, hidden: Candidate
) -> None:
    other = make_candidate(session)
    session.execute(update(Candidate).where(Candidate.id == other.id).values(image_id=hidden.image_id))
    sha256 = session.get_one(Image, hidden.image_id).sha256
    assert sign_in("alder").get(f"/images/{sha256}.jpg").status_code == 200


def test_the_other_pictures_of_its_post_do_not_show_it(session: Session, sign_in: SignIn, hidden: Candidate) -> None:
    sibling = make_candidate(session, post=session.get_one(Post, hidden.post_id), position=2, with_blob=True)
    sha256 = session.get_one(Image, hidden.image_id).sha256
    alder = sign_in("alder")
    for path in (f"/review?candidate={sibling.id}", f"/candidates/{sibling.id}"):
        assert sha256 not in alder.get(path).text
    assert sha256 in sign_in("elm").get(f"/candidates/{sibling.id}").text


def test_its_duplicates_do_not_show_it(session: Session, sign_in: SignIn, hidden: Candidate) -> None:
    copy, group = make_candidate(session, with_blob=True), DuplicateGroup()
    session.add(group)
    session.flush()
    for member in (copy, hidden):
        session.add(DuplicateMember(group_id=group.id, candidate_id=member.id))
    session.flush()
    sha256 = session.get_one(Image, hidden.image_id).sha256
    assert sha256 not in sign_in("alder").get(f"/candidates/{copy.id}").text
    assert sha256 in sign_in("elm").get(f"/candidates/{copy.id}").text


def test_a_reviewers_own_history_does_not_show_it(session: Session, sign_in: SignIn) -> None:
    client = sign_in("alder")
    alder = actor_of(session.query(User).filter_by(name="alder").one())
    candidate = make_candidate(session, caption="Unutterable zygomycosis", with_blob=True)
    decide(session, alder, candidate)
    assert "zygomycosis" in client.get("/review/history").text
    moves.next_round(session, candidate.id, S.REJECTED)
    held_by_faces = {"flag_origin": FlagOrigin.MACHINE, "stopped_by": "faces"}
    moves.move(session, [candidate.id], S.QUEUED, S.FLAGGED, **held_by_faces)
    for path in ("/", "/review/history"):
        assert "zygomycosis" not in client.get(path).text


def test_a_decision_that_comes_too_late_does_not_show_it(session: Session, sign_in: SignIn, hidden: Candidate) -> None:
    sent = {
        "decision": "accept",
        "token": str(uuid4()),
        "submission_id": str(uuid4()),
        "caption_version": "1",
        "caption": "My own words",
        "seconds": "1",
    }
    answer = sign_in("alder").post(f"/review/{hidden.id}/decide", data=sent)
    assert answer.status_code == 409
    assert "zygomycosis" not in answer.text
    assert session.get_one(Image, hidden.image_id).sha256 not in answer.text
    assert "My own words" in answer.text


def test_no_reviewer_is_handed_it(session: Session, alder: Actor, hidden: Candidate) -> None:
    assert leases.hold(session, alder) == []


# --- counts and pages ---------------------------------------------------------------------------


def test_home_and_the_funnels_count_it_as_held_and_not_as_reviewed(session: Session, elm: Actor) -> None:
    make_held(session)
    make_candidate(session)
    found = overview(session)
    assert [need.text for need in found.needs if need.route == "held"] == ["1 candidate held"]
    assert not [need for need in found.needs if "flagged" in need.text]
    steps = {step.label: (step.count, step.lost) for step in found.funnel.steps}
    assert steps["Nothing private"] == (1, 1)
    assert steps["Reviewed"] == (0, 1)
    _, stages = funnel.funnel(session)
    counts = {count.stage.name: (count.through, count.held) for count in stages}
    assert counts["panels"] == (2, 0)
    assert (counts["faces"], counts["writing"]) == ((1, 1), (1, 0))


def test_the_list_shows_what_was_found_and_releases_and_rejects_those_ticked(session: Session, sign_in: SignIn) -> None:
    first, second, third = (make_held(session, with_blob=True) for _ in range(3))
    elm = sign_in("elm")
    page = elm.get("/prefilter/held").text
    assert page.count("box box-face") == 3
    assert "1 face" in page
    sent = elm.post("/prefilter/held/release", data={"candidate": [first.id, second.id]}, follow_redirects=False)
    assert sent.status_code == 303
    elm.post("/prefilter/held/reject", data={"candidate": [third.id], "reason": "person_recognisable"})
    session.expire_all()
    assert [one.state for one in (first, second, third)] == [S.FILTERING, S.FILTERING, S.REJECTED]
    page = elm.get("/prefilter/held").text
    assert "Nothing is held" in page
    assert page.count("Hold again") == 3
    elm.post(f"/prefilter/held/{third.id}/again")
    session.expire_all()
    assert third.state is S.FLAGGED


def test_one_button_releases_one_and_nothing_ticked_changes_nothing(session: Session, sign_in: SignIn) -> None:
    first, second = make_held(session), make_held(session)
    elm = sign_in("elm")
    elm.post("/prefilter/held/release", data={})
    assert "Tick at least one" in elm.get("/prefilter/held").text
    elm.post("/prefilter/held/release", data={"candidate": [first.id], "only": second.id})
    session.expire_all()
    assert (first.state, second.state) == (S.FLAGGED, S.FILTERING)
    assert elm.post("/prefilter/held/reject", data={"only": first.id, "reason": ""}).status_code == 422


def test_the_candidates_own_page_says_what_holds_it_and_releases_it(session: Session, sign_in: SignIn) -> None:
    candidate, elm = make_held(session, with_blob=True), sign_in("elm")
    page = elm.get(f"/candidates/{candidate.id}").text
    assert "held for 1 face" in page
    assert "<b>Held</b> by Faces" in page
    assert "Send back to the queue" not in page
    answer = elm.post("/prefilter/held/release", data={"only": candidate.id, "page": "true"}, follow_redirects=False)
    assert answer.headers["location"] == f"/candidates/{candidate.id}"
    session.expire_all()
    assert candidate.state is S.FILTERING
    assert "released it in spite of what was found" in elm.get(f"/candidates/{candidate.id}").text


def test_the_list_goes_on_beyond_a_page_and_by_stage(session: Session, sign_in: SignIn) -> None:
    number = {"boxes": [], "kinds": {"record_number": 1}}
    make_held(session, number, "writing")
    many = [make_held(session) for _ in range(21)]
    elm = sign_in("elm")
    assert elm.get("/prefilter/held?stage=writing").text.count("Release C-") == 1
    first = elm.get("/prefilter/held?stage=faces").text
    assert first.count("Release C-") == 20
    assert f"after={many[19].id}" in first
    assert elm.get(f"/prefilter/held?stage=faces&after={many[19].id}").text.count("Release C-") == 1


def test_private_words_of_a_caption_are_marked(session: Session) -> None:
    text = "Case of Ada Alder, MRN 1234567"
    candidate = make_candidate(session, S.FILTERING, text)
    spans = [{"start": 8, "end": 17, "kind": "name"}, {"start": 19, "end": 30, "kind": "record_number"}]
    holding_all = {"actions": {"name": "hold", "record_number": "hold"}}
    row = prefilter.stage_row(session, "private")
    row.setting = holding_all
    session.flush()
    evidence = {"caption": candidate.caption_id, "spans": spans, "kinds": {"name": 1, "record_number": 1}}
    look(session, candidate, evidence, "private")
    (found,) = held.listed(session, "private", 0, 9)
    assert found.pieces == [("Case of ", ""), ("Ada Alder", "name"), (", ", ""), ("MRN 1234567", "record_number")]


def test_a_released_caption_is_offered_without_what_held_it_though_it_was_set_to_be_held_later(
    session: Session, elm: Actor
) -> None:
    text = "Melanoma of Ada Alder, with ulceration."
    candidate = make_candidate(session, S.FILTERING, text)
    row = prefilter.stage_row(session, "private")
    row.setting = {"actions": {"name": "warn"}}
    session.flush()
    spans = [{"start": 12, "end": 21, "kind": "name"}]
    look(session, candidate, {"caption": candidate.caption_id, "spans": spans, "kinds": {"name": 1}}, "private")
    assert candidate.state is S.FILTERING
    row.setting = {"actions": {"name": "hold"}}
    session.flush()
    assert holding.apply(session, row, 0)[0] == 1
    holding.release(session, elm, [candidate.id])
    session.refresh(candidate)
    shown = curation_queries.shown(session, candidate.id)
    assert shown
    assert "Ada Alder" not in shown.offered
    found = curation_queries.findings(session, candidate.id)["private"]
    taken_out = proposals.caption(session, shown, private=found).taken_out
    assert [(one.kind, one.words) for one in taken_out] == [("name", "Ada Alder")], "its reviewer may put it back"
    (item,) = prefilter.inputs(session, [candidate.id])
    before = item.before("llm")
    assert before
    assert "Ada Alder" not in before.text, "the language model is not told either"


def test_a_candidate_without_anything_to_hold_it_goes_on(session: Session) -> None:
    candidate = make_candidate(session, S.FILTERING)
    look(session, candidate, NO_FACE)
    assert (candidate.state, waits_for(session, candidate)) == (S.FILTERING, ["writing"])
    assert due.take(session, BY_NAME["writing"]).candidate_ids == [candidate.id]


@pytest.mark.parametrize("path", ["/prefilter/held", "/prefilter/privacy"])
def test_the_pages_are_for_admins(sign_in: SignIn, path: str) -> None:
    clients: list[TestClient] = [sign_in(name) for name in ("hazel", "fir", "elm")]
    assert [client.get(path).status_code for client in clients] == [403, 403, 200]
