"""One candidate's page: its history, what it hides, and an admin's acts on it."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.policies import Actor
from app.accounts.queries import actor_of, user_named
from app.candidates import queries
from app.candidates.pages import CandidatePage, candidate_page
from app.curation import actions
from app.errors import NotFound
from app.prefilter.policies import StageResult
from app.prefilter.recording import write_findings
from app.tables import (
    Candidate,
    CandidateState,
    EntryOutcome,
    Event,
    Image,
    ImportEntry,
    Job,
    Post,
    Review,
    ReviewKind,
    Role,
    Setting,
    Snapshot,
    SnapshotMember,
    Split,
)
from tests.candidates.deciding import decide
from tests.factories import make_candidate, make_person
from tests.web_client import SignIn

S = CandidateState


@pytest.fixture
def elm(session: Session) -> Actor:
    return make_person(session, "elm", Role.ADMIN)


@pytest.fixture
def alder(session: Session) -> Actor:
    return make_person(session, "alder")


def acts(page: CandidatePage) -> list[str]:
    return [moment.act for moment in page.history]


def freeze(session: Session, candidate: Candidate, number: int = 7) -> None:
    snapshot = Snapshot(number=number, seed=1, event_position=0)
    session.add(snapshot)
    session.flush()
    member = SnapshotMember(
        snapshot_id=snapshot.id,
        key=f"{candidate.id:012d}",
        candidate_id=candidate.id,
        image_sha256=session.get_one(Image, candidate.image_id).sha256,
        caption_id=candidate.settled_caption_id,
        review_id=candidate.settled_by,
        split=Split.TRAIN,
        row={},
    )
    session.add(member)
    session.flush()


def stages(session: Session, candidate: Candidate, *results: tuple[str, StageResult], run: int = 1) -> None:
    for name, result in results:
        write_findings(session, name, "1", [result], {candidate.id: f"{run} {name}"}, None)


# --- the history --------------------------------------------------------------------------------


def test_it_tells_all_that_happened_the_newest_first(session: Session, elm: Actor, alder: Actor) -> None:
    candidate = make_candidate(session, caption="Skin, H&E.")
    entry = ImportEntry(
        import_id=candidate.import_id, ordinal=1, outcome=EntryOutcome.TAKEN, row=1204, candidate_id=candidate.id
    )
    session.add(entry)
    passed = StageResult(candidate.id, score=0.9, label="sharp")
    stages(session, candidate, ("quality", passed), ("domain", StageResult(candidate.id, score=0.99)))
    review = decide(session, alder, candidate, ReviewKind.ACCEPT, "Skin, H&E, 10×.")
    freeze(session, candidate)
    actions.requeue(session, elm, candidate.id)
    page = candidate_page(session, elm, candidate.id)
    assert sorted(acts(page)) == sorted(["Elm", "Frozen", "Accepted with edits", "Passed", "Imported", "Posted"])
    assert acts(page)[-1] == "Posted"
    by_act = {moment.act: moment for moment in page.history}
    assert by_act["Elm"].text == "sent it back to the queue"
    assert by_act["Elm"].note == "accepted → queued, round 2"
    assert by_act["Frozen"].link is not None
    assert by_act["Frozen"].link.text == "v0007"
    assert by_act["Accepted with edits"].text == "by Alder"
    assert by_act["Accepted with edits"].note == "4 s"
    assert "".join(p.text for p in by_act["Accepted with edits"].pieces if p.op == "ins").strip() == ", 10×"
    assert by_act["Passed"].text == "2 of 12 stages"
    assert by_act["Imported"].note == "by System, row 1,204"
    assert review.id


def test_a_stage_that_looks_again_begins_a_new_pass(session: Session, elm: Actor) -> None:
    candidate = make_candidate(session, S.FILTERED_OUT)
    stages(session, candidate, ("quality", StageResult(candidate.id, score=0.9)))
    stages(session, candidate, ("quality", StageResult(candidate.id, score=0.05)), run=2)
    page = candidate_page(session, elm, candidate.id)
    told = [(m.act, m.text) for m in page.history if m.icon == "filter"]
    assert told == [("Stopped", "by Quality, score 0.05"), ("Passed", "1 of 12 stages")]


def test_a_rejection_tells_its_reasons_and_an_undo_what_it_took_back(
    session: Session, alder: Actor, elm: Actor
) -> None:
    candidate = make_candidate(session)
    review = decide(session, alder, candidate, note="too blurred to tell")
    actions.undo(session, alder, review.id)
    page = candidate_page(session, elm, candidate.id)
    rejected = next(moment for moment in page.history if moment.act == "Rejected")
    assert rejected.text == "by Alder: image too poor"
    assert rejected.note == "4 s · taken back later"
    assert rejected.quote == "too blurred to tell"
    undone = next(moment for moment in page.history if moment.act == "Took back")
    assert undone.text == "“rejected”, by Alder"


def test_a_resolution_is_told_as_one(session: Session, alder: Actor, elm: Actor) -> None:
    candidate = make_candidate(session)
    decide(session, alder, candidate, ReviewKind.FLAG)
    resolve(session, elm, candidate)
    page = candidate_page(session, elm, candidate.id)
    assert "Resolved: accepted with edits" in acts(page)
    assert "Flagged" in acts(page)
    assert page.published == "As resolved."


def resolve(session: Session, actor: Actor, candidate: Candidate) -> None:
    decision = actions.Decision(
        candidate_id=candidate.id,
        token=uuid4(),
        caption_version=candidate.caption_version,
        submission_id=uuid4(),
        kind=ReviewKind.ACCEPT,
        caption="As resolved.",
    )
    actions.resolve(session, actor, decision)


# --- who sees what ------------------------------------------------------------------------------


def test_others_reviews_are_hidden_while_i_may_still_be_handed_it(session: Session, alder: Actor, elm: Actor) -> None:
    session.merge(Setting(name="overlap_share", value=1))
    session.flush()
    candidate = make_candidate(session)
    decide(session, alder, candidate)
    birch = make_person(session, "birch")
    blind = candidate_page(session, birch, candidate.id)
    assert blind.state is None
    assert blind.reviews_hidden
    assert "Rejected" not in acts(blind)
    decide(session, birch, candidate)
    seeing = candidate_page(session, birch, candidate.id)
    assert seeing.state is S.REJECTED
    assert acts(seeing).count("Rejected") == 2
    assert not candidate_page(session, elm, candidate.id).reviews_hidden


def test_own_reviews_are_always_told(session: Session, alder: Actor, elm: Actor) -> None:
    candidate = make_candidate(session)
    decide(session, alder, candidate)
    actions.requeue(session, elm, candidate.id)
    page = candidate_page(session, alder, candidate.id)
    assert page.reviews_hidden
    assert "Rejected" in acts(page)
    assert "Elm" not in acts(page), "that it was sent back would tell what it was"


def test_a_new_round_hides_what_was_published_and_frozen(session: Session, alder: Actor, elm: Actor) -> None:
    candidate = make_candidate(session)
    decide(session, alder, candidate, ReviewKind.ACCEPT)
    freeze(session, candidate)
    birch = make_person(session, "birch")
    assert candidate_page(session, birch, candidate.id).snapshots != []
    actions.requeue(session, elm, candidate.id)
    page = candidate_page(session, birch, candidate.id)
    assert (page.snapshots, page.published) == ([], None)
    assert "Frozen" not in acts(page)


def test_a_withdrawn_one_is_not_there_for_reviewers(session: Session, alder: Actor, elm: Actor) -> None:
    gone = make_candidate(session, S.WITHDRAWN)
    with pytest.raises(NotFound):
        candidate_page(session, alder, gone.id)
    assert candidate_page(session, elm, gone.id).state is S.WITHDRAWN


def test_links_of_the_history_lead_only_where_its_reader_may_go(session: Session, alder: Actor, elm: Actor) -> None:
    candidate = make_candidate(session)
    entry = ImportEntry(import_id=candidate.import_id, ordinal=1, outcome=EntryOutcome.TAKEN, candidate_id=candidate.id)
    session.add(entry)
    session.flush()

    def import_route(actor: Actor) -> str:
        page = candidate_page(session, actor, candidate.id)
        return next(m.link.route for m in page.history if m.act == "Imported" and m.link)

    assert import_route(elm) == "import_page"
    assert import_route(alder) == ""


# --- the page -----------------------------------------------------------------------------------


def person(session: Session, name: str) -> Actor:
    return actor_of(user_named(session, name))


def test_the_page_shows_picture_caption_findings_and_history(session: Session, sign_in: SignIn) -> None:
    client = sign_in("elm")
    candidate = make_candidate(session, caption="Skin <b>bold</b> 😮")
    evidence = {"width": 300, "height": 280, "sharpness": 412.0}
    found = StageResult(candidate.id, score=1.0, label="sharp", evidence=evidence)
    stages(session, candidate, ("quality", found))
    page = client.get(f"/candidates/{candidate.id}")
    assert page.status_code == 200
    assert f"C-{candidate.id}" in page.text
    assert "&lt;b&gt;bold&lt;/b&gt;" in page.text
    assert "300 × 280, sharpness 412, sharp, threshold 0.2" in page.text
    assert "Run the stages again" in page.text
    assert session.get_one(Image, candidate.image_id).sha256 in page.text


def test_an_address_of_a_post_that_is_no_web_address_is_no_link(session: Session, sign_in: SignIn) -> None:
    candidate = make_candidate(session)
    session.get_one(Post, candidate.post_id).permalink = "javascript:alert(1)"
    session.flush()
    assert "javascript:" not in sign_in("elm").get(f"/candidates/{candidate.id}").text


def test_copies_and_the_posts_other_images_are_shown(session: Session, sign_in: SignIn) -> None:
    from app.tables import DuplicateGroup, DuplicateMember

    first = make_candidate(session)
    second = make_candidate(session, post=session.get_one(Post, first.post_id), position=2)
    copy = make_candidate(session)
    group = DuplicateGroup()
    session.add(group)
    session.flush()
    for candidate, kept in ((first, True), (copy, False)):
        session.add(DuplicateMember(candidate_id=candidate.id, group_id=group.id, kept=kept))
    session.flush()
    page = sign_in("alder").get(f"/candidates/{copy.id}")
    assert f"C-{first.id}, kept" in page.text
    assert f"/candidates/{second.id}" in sign_in("elm").get(f"/candidates/{first.id}").text


def test_reviewers_get_no_admin_buttons(session: Session, sign_in: SignIn) -> None:
    candidate = make_candidate(session)
    text = sign_in("alder").get(f"/candidates/{candidate.id}").text
    assert "Run the stages again" not in text
    assert "Send back to the queue" not in text


@pytest.mark.parametrize("act", ["requeue", "rerun", "resolve"])
@pytest.mark.parametrize(("persona", "status"), [("alder", 403), ("fir", 403), ("", 401)])
def test_acts_are_for_admins(session: Session, sign_in: SignIn, act: str, persona: str, status: int) -> None:
    candidate = make_candidate(session)
    assert sign_in(persona).post(f"/candidates/{candidate.id}/{act}").status_code == status


def test_there_is_no_candidate_of_another_number(sign_in: SignIn) -> None:
    elm = sign_in("elm")
    assert elm.get("/candidates/999999999").status_code == 404
    for act in ("requeue", "rerun", "resolve"):
        assert elm.post(f"/candidates/999999999/{act}").status_code == 404


# --- an admin's acts ----------------------------------------------------------------------------


def flagged(session: Session, **more: Any) -> Candidate:
    candidate = make_candidate(session)
    decide(session, make_person(session, "rowan"), candidate, ReviewKind.FLAG, **more)
    return candidate


def send(client: TestClient, candidate: Candidate, **values: object) -> object:
    data = {"submission_id": str(uuid4()), "caption_version": candidate.caption_version} | values
    return client.post(f"/candidates/{candidate.id}/resolve", data=data)


def test_a_flagged_one_is_accepted_with_a_caption(session: Session, sign_in: SignIn) -> None:
    candidate = flagged(session)
    elm = sign_in("elm")
    assert "Accept with this caption" in elm.get(f"/candidates/{candidate.id}").text
    fields = {"organ": "skin", "stain": "he", "diagnosis": "Naevus"}
    answer = send(elm, candidate, decision="accept", caption="Skin, as it should be.", **fields)
    assert answer.status_code == 303  # type: ignore[attr-defined]
    session.refresh(candidate)
    assert candidate.state is S.ACCEPTED
    review = session.get_one(Review, candidate.settled_by)
    assert review.purpose.value == "resolution"
    assert queries.review_fields(session, review.id) == fields


def test_an_admin_begins_with_the_fields_and_words_of_whoever_flagged_it(session: Session, sign_in: SignIn) -> None:
    candidate = flagged(session, note="Is this <one> a tattoo?", fields={"organ": "skin"}, diagnosis="Naevus")
    by_rules = StageResult(candidate.id, score=1.0, evidence={"fields": {"organ": "lung"}})
    stages(session, candidate, ("caption", by_rules))
    page = sign_in("elm").get(f"/candidates/{candidate.id}").text
    assert "Rowan flagged it: <q hx-ignore><bdi>Is this &lt;one&gt; a tattoo?</bdi></q>" in page
    assert '<option value="skin" selected>' in page
    assert 'name="diagnosis" type="text" value="Naevus"' in page


def test_without_any_of_theirs_an_admin_begins_with_the_fields_by_rules(session: Session, sign_in: SignIn) -> None:
    candidate = flagged(session)
    by_rules = StageResult(candidate.id, score=1.0, evidence={"fields": {"organ": "lung"}})
    stages(session, candidate, ("caption", by_rules))
    page = sign_in("elm").get(f"/candidates/{candidate.id}").text
    assert '<option value="lung" selected>' in page
    assert "Rowan flagged it</span>" in page


def test_a_flagged_one_is_rejected_with_a_reason(session: Session, sign_in: SignIn) -> None:
    candidate = flagged(session)
    send(sign_in("elm"), candidate, decision="reject", reason=["duplicate"])
    session.refresh(candidate)
    assert candidate.state is S.REJECTED


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"decision": "reject"}, "Choose a reason"),
        ({"decision": "reject", "reason": ["nonsense"]}, "Choose a reason of the list"),
        ({"decision": "accept", "caption": "  "}, "A pair needs a caption"),
        ({"decision": "accept", "caption": "Skin.", "organ": "nonsense"}, "Choose one of the list"),
    ],
)
def test_a_resolution_that_lacks_something_says_what(
    session: Session, sign_in: SignIn, values: dict[str, object], said: str
) -> None:
    candidate = flagged(session)
    answer = send(sign_in("elm"), candidate, **values)
    assert answer.status_code == 422  # type: ignore[attr-defined]
    assert said in answer.text  # type: ignore[attr-defined]
    session.refresh(candidate)
    assert candidate.state is S.FLAGGED


def test_a_refused_resolution_keeps_what_was_filled_in(session: Session, sign_in: SignIn) -> None:
    candidate = flagged(session)
    sent = {"caption": " ", "note": "as agreed", "organ": "skin", "diagnosis": "Naevus", "reason": ["duplicate"]}
    answer = send(sign_in("elm"), candidate, decision="accept", **sent)
    for kept in ('value="as agreed"', '<option value="skin" selected>', 'value="Naevus"', 'value="duplicate" checked'):
        assert kept in answer.text  # type: ignore[attr-defined]


def test_a_resolution_on_an_old_caption_is_refused(session: Session, sign_in: SignIn) -> None:
    candidate = flagged(session)
    answer = send(sign_in("elm"), candidate, decision="accept", caption="New.", caption_version=0)
    assert answer.status_code == 409  # type: ignore[attr-defined]


def test_sending_back_makes_a_new_round(session: Session, sign_in: SignIn) -> None:
    candidate = flagged(session)
    elm = sign_in("elm")
    assert "Send back to the queue" in elm.get(f"/candidates/{candidate.id}").text
    assert elm.post(f"/candidates/{candidate.id}/requeue").status_code == 303
    session.refresh(candidate)
    assert (candidate.state, candidate.round) == (S.QUEUED, 2)
    assert elm.post(f"/candidates/{candidate.id}/requeue").status_code == 409


def test_the_stages_run_again_for_this_one_alone(session: Session, sign_in: SignIn) -> None:
    candidate = make_candidate(session)
    assert sign_in("elm").post(f"/candidates/{candidate.id}/rerun").status_code == 303
    job = session.scalars(select(Job).where(Job.kind == "rerun")).one()
    assert job.arguments["candidates"] == [candidate.id]
    assert session.scalars(select(Event).where(Event.act == "stage.run_again")).one()


def test_the_stages_do_not_run_again_on_a_decided_one(session: Session, sign_in: SignIn) -> None:
    candidate = flagged(session)
    assert sign_in("elm").post(f"/candidates/{candidate.id}/rerun").status_code == 409
