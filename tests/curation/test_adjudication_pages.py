"""The adjudicator's screen: both judgements shown without names, settled like any review."""

import re

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.curation import actions, leases
from app.tables import Candidate, CandidateState, ReviewKind, Setting
from tests.curation.test_decide import decision
from tests.factories import make_candidate, make_person
from tests.web_client import SignIn


def differing(session: Session) -> Candidate:
    """A candidate that one reviewer accepted with an edit and another rejected."""
    session.execute(update(Setting).where(Setting.name == "overlap_share").values(value=1))
    candidate = make_candidate(session)
    for name, kind in (("oak", ReviewKind.ACCEPT), ("yew", ReviewKind.REJECT)):
        (lease,) = leases.hold(session, make_person(session, name))
        caption = "Nodular basal cell carcinoma."
        actions.decide(session, leases_holder(session, name), decision(lease, kind, caption=caption))
    session.refresh(candidate)
    assert candidate.state is CandidateState.CONFLICTED
    return candidate


def leases_holder(session: Session, name: str):  # type: ignore[no-untyped-def]
    from app.accounts.queries import actor_of, user_named

    return actor_of(user_named(session, name))


def hidden_fields(page: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


def test_an_adjudicator_sees_both_judgements_without_names_and_settles_them(session: Session, sign_in: SignIn) -> None:
    candidate = differing(session)
    hazel = sign_in("hazel")
    page = hazel.get("/adjudicate").text
    assert "Two reviewers differ" in page
    assert "Other" in page
    assert "Nodular basal cell carcinoma." in page
    assert "oak" not in page.lower()
    sent = hidden_fields(page) | {"decision": "accept", "caption": "Nodular basal cell carcinoma."}
    answer = hazel.post(f"/review/{candidate.id}/decide", data=sent)
    assert (answer.status_code, answer.headers["location"]) == (303, "/adjudicate")
    session.refresh(candidate)
    assert candidate.state is CandidateState.ACCEPTED


def test_a_reviewer_who_is_no_adjudicator_is_refused(session: Session, sign_in: SignIn) -> None:
    assert sign_in("alder").get("/adjudicate").status_code == 403


def test_an_admin_sets_the_share_that_two_people_see(session: Session, sign_in: SignIn) -> None:
    elm = sign_in("elm")
    assert elm.post("/review/overlap", data={"percent": "10"}).status_code == 303
    assert session.scalar(select(Setting.value).where(Setting.name == "overlap_share")) == 0.1
    assert 'value="10"' in elm.get("/people").text
    assert elm.post("/review/overlap", data={"percent": "101"}).status_code == 422
