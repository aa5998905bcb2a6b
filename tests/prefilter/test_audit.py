"""The audit sample: drawn from every stage and score, reviewed blind, and what it proves."""

import re
from uuid import uuid4

import pytest
from PIL import Image as Picture
from skimage import data as samples
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.accounts.policies import SYSTEM, Actor
from app.accounts.queries import actor_of, user_named
from app.candidates import policies
from app.candidates import queries as candidates
from app.curation import actions as curation
from app.curation import leases, moves
from app.db import transaction
from app.prefilter import actions, audit, due, evidence, held, holding, queries, recording, stages
from app.prefilter.policies import StageResult
from app.prefilter.privacy import OF_STAGE
from app.storage import blobs
from app.tables import (
    Assignment,
    Candidate,
    CandidateState,
    Caption,
    Finding,
    FindingNow,
    Image,
    Job,
    Outcome,
    Purpose,
    Review,
    ReviewKind,
    Role,
    Stage,
    StageTodo,
)
from bench import drawn
from tests.factories import FAR, make_candidate, make_import, make_person
from tests.prefilter.test_pipeline import quiet, states, work  # noqa: F401  # `quiet` is a fixture
from tests.prompts import models
from tests.web_client import SignIn
from workers.stages import private

S = CandidateState


def act(session: Session, name: str) -> Actor:
    """The person of that name, made when first asked for."""
    found = user_named(session, name)
    return actor_of(found) if found else make_person(session, name)


def scored(
    session: Session, score: float, state: S = S.FILTERED_OUT, stage: str = "domain", *, screened: bool = True
) -> Candidate:
    """A candidate with a stage's score; filtered out by it unless said otherwise, and nothing private found in it."""
    candidate = make_candidate(session, S.FILTERING if state is S.FILTERED_OUT else S.QUEUED, with_blob=not screened)
    if screened:
        models.screen(session, candidate)
    version = session.get_one(Stage, stage).active_version
    finding = Finding(
        candidate_id=candidate.id,
        stage=stage,
        stage_version=version,
        input_hash="0" * 64,
        outcome=Outcome.OK,
        score=score,
    )
    session.add(finding)
    session.flush()
    session.add(
        FindingNow(candidate_id=candidate.id, stage=stage, finding_id=finding.id, outcome=Outcome.OK, score=score)
    )
    session.flush()
    if state is S.FILTERED_OUT:
        moves.filter_out(session, [candidate.id], stage)
    else:
        moves.move(session, [candidate.id], S.QUEUED, state)
        moves.drop_open_slots(session, [candidate.id])
    session.refresh(candidate)
    return candidate


def set_share(session: Session, share: float) -> None:
    audit.set_audit(session, SYSTEM, share, 0.02)


def audits(session: Session) -> set[int]:
    return set(session.scalars(select(Assignment.candidate_id).where(Assignment.purpose == Purpose.AUDIT)))


def test_every_stage_and_tenth_of_its_scores_gives_its_share(session: Session) -> None:
    low = {scored(session, 0.05).id for _ in range(20)}
    high = {scored(session, 0.45).id for _ in range(10)}
    other = {scored(session, 0.05, stage="caption").id for _ in range(3)}
    set_share(session, 0.1)
    assert audit.draw(session) == (4, 0)
    drawn = audits(session)
    assert [len(drawn & some) for some in (low, high, other)] == [2, 1, 1]
    assert audit.draw(session) == (0, 0), "the sample is full"


def test_a_share_of_nothing_calls_off_what_nobody_has_in_hand(session: Session) -> None:
    held, free = scored(session, 0.1), scored(session, 0.1)
    set_share(session, 1)
    audit.draw(session)
    session.execute(update(Assignment).where(Assignment.candidate_id == held.id).values(lease_until=FAR))
    set_share(session, 0)
    assert audits(session) == {held.id}
    assert free.id not in audits(session)


def test_an_audited_candidate_comes_among_the_others_without_its_findings(
    session: Session, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = scored(session, 0.1)
    set_share(session, 1)
    audit.draw(session)
    page = sign_in("alder").get("/review").text
    assert f'data-candidate="{candidate.id}"' in page
    assert "Spot check" in page
    assert "Histology" not in page.split('id="decide"')[0]
    seen = candidates.slots(session, act(session, "alder"), candidate.id)
    assert not policies.sees_state(act(session, "alder"), seen), "that it was filtered out would give it away"


def hrefs(page: str) -> list[str]:
    return re.findall(r'href="/candidates/(\d+)"', page)


def test_neither_a_filter_nor_its_page_tells_a_reviewer_that_a_candidate_is_audited(
    session: Session, sign_in: SignIn
) -> None:
    candidate = scored(session, 0.1)
    set_share(session, 1)
    audit.draw(session)
    alder, elm = sign_in("alder"), sign_in("elm")
    filters = ("stopped=domain", "stage=domain&high=0.5", "stage=domain&low=0.05")
    assert [hrefs(alder.get(f"/candidates?{one}").text) for one in filters] == [[]] * 3
    assert all(str(candidate.id) in hrefs(elm.get(f"/candidates?{one}").text) for one in filters)
    (listed,) = candidates.listed(session, act(session, "alder"), candidates.Filter(), 9)
    assert (listed.state, listed.stopped_by, listed.score) == (None, None, None)
    page = alder.get(f"/candidates/{candidate.id}").text
    assert "What the stages found stays hidden while you may still review it." in page
    assert not [word for word in ("Histology", "stops", "0.100", "Stopped") if word in page.split("<main")[1]]
    judge(session, "alder", candidate, ReviewKind.REJECT)
    assert "Stopped by Histology" in " ".join(alder.get(f"/candidates/{candidate.id}").text.replace("</b>", "").split())
    assert str(candidate.id) in hrefs(alder.get("/candidates?stopped=domain").text)


# --- running again ------------------------------------------------------------------------------


def test_a_later_stage_that_runs_again_leaves_what_an_earlier_one_stopped(session: Session) -> None:
    candidate = scored(session, 0.1)
    assert [actions.send_back(session, name, None, 0) for name in OF_STAGE] == [(0, None)] * len(OF_STAGE)
    session.refresh(candidate)
    assert (candidate.state, candidate.stopped_by) == (S.FILTERED_OUT, "domain")
    assert actions.send_back(session, "domain", None, 0) == (1, candidate.id)
    session.refresh(candidate)
    assert (candidate.state, candidate.stopped_by) == (S.FILTERING, None)


# --- nobody sees what no stage has screened -------------------------------------------------------


def screen(session: Session, candidate: Candidate, **found: StageResult) -> None:
    """The stages for private details look at a candidate, the way their jobs do; `found` is what one of them says."""
    for name in OF_STAGE:
        stage = stages.BY_NAME[name]
        batch = due.take(session, stage)
        items = queries.inputs(session, batch.candidate_ids)
        if name == "private":
            results = private.run(items, batch.setting, None)  # type: ignore[arg-type]  # it asks nothing of its job
        else:
            results = [found.get(name, StageResult(item.candidate_id)) for item in items]
        hashes = {item.candidate_id: f"{name} {item.candidate_id}" for item in items}
        recording.write_results(session, stage, batch, results, hashes, None)
    session.refresh(candidate)


def draw_unscreened(session: Session, caption: str) -> Candidate:
    """A candidate that was stopped before anybody looked for private details, drawn for the audit."""
    candidate = scored(session, 0.1, screened=False)
    raw = curation.add_caption(session, candidate.id, "raw", caption, "import")
    curation.offer_caption(session, candidate, raw)
    session.execute(update(Candidate).where(Candidate.id == candidate.id).values(caption_version=1))
    session.expire_all()
    set_share(session, 1)
    assert audit.draw(session) == (0, 1)
    return candidate


def offered(session: Session, candidate: Candidate) -> Caption:
    return session.get_one(Caption, session.get_one(Candidate, candidate.id).caption_id)


def test_what_was_stopped_early_is_screened_before_it_is_audited(session: Session, sign_in: SignIn) -> None:
    candidate = draw_unscreened(session, "Melanoma, H&E. Follow us! #dermpath #pathology")
    sha256 = session.get_one(Image, candidate.image_id).sha256
    alder = sign_in("alder")
    closed = [f"/candidates/{candidate.id}", f"/images/{sha256}.jpg", f"/thumbs/{sha256}.jpg"]
    assert (audits(session), [alder.get(path).status_code for path in closed]) == (set(), [404] * 3)
    assert audit.draw(session) == (0, 0), "it is on its way"
    assert not audit.draws(session)
    screen(session, candidate)
    assert session.scalars(select(Job.kind).where(Job.kind == "audit")).first(), "who screened it has it asked for"
    assert audit.draw(session) == (1, 0)
    assert (candidate.state, candidate.stopped_by, audits(session)) == (S.FILTERED_OUT, "domain", {candidate.id})
    assert [alder.get(path).status_code for path in closed] == [200] * 3
    assert "Follow us" not in (offered(session, candidate).text or "")


def test_private_details_are_left_out_of_an_audited_caption(session: Session) -> None:
    candidate = draw_unscreened(session, "Melanoma of the back on 3 March 2021, H&E. #path")
    seen = held.version(held.actions(session))
    holding.set_actions(session, SYSTEM, {"private": {"date": "redact"}}, seen)
    screen(session, candidate)
    assert offered(session, candidate).text == "Melanoma of the back, H&E."


@pytest.mark.parametrize("stage", ["faces", "writing"])
def test_what_an_admin_must_see_first_is_held_and_not_audited(session: Session, stage: str) -> None:
    candidate = draw_unscreened(session, "A melanoma.")
    kind = {"faces": "face", "writing": "record_number"}[stage]
    screen(session, candidate, **{stage: StageResult(candidate.id, evidence={"kinds": {kind: 1}, "boxes": []})})
    assert (candidate.state, candidate.stopped_by) == (S.FLAGGED, stage)
    assert (audit.draw(session), audits(session)) == ((0, 0), set())
    holding.release(session, make_person(session, "elm2", Role.ADMIN), [candidate.id])
    session.refresh(candidate)
    assert (candidate.state, candidate.stopped_by) == (S.FILTERED_OUT, "domain"), "it is as far as it came before"


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.NOT_RUN])
def test_where_a_stage_could_not_look_nobody_is_asked_until_it_ran_again(
    session: Session, sign_in: SignIn, outcome: Outcome
) -> None:
    candidate = draw_unscreened(session, "A melanoma.")
    screen(session, candidate, faces=StageResult(candidate.id, outcome))
    assert (audit.draw(session), audits(session), audit.draws(session)) == ((0, 0), set(), False)
    assert sign_in("alder").get(f"/candidates/{candidate.id}").status_code == 404
    assert actions.send_back(session, "faces", None, 0) == (1, candidate.id)
    screen(session, candidate)
    assert (candidate.state, candidate.stopped_by) == (S.FILTERED_OUT, "domain")
    assert (audit.draw(session), audits(session)) == ((1, 0), {candidate.id})


def stopped(session: Session, words: str) -> int:
    """A candidate that the quality stage stopped, with words on its picture."""
    picture = Picture.fromarray(samples.immunohistochemistry()).resize((800, 800))
    drawn.ImageDraw.Draw(picture).text((60, 700), words, "black", drawn.font(32))
    candidate = make_candidate(session, S.FILTERED_OUT)
    sha256 = blobs().put(drawn.jpeg(picture))
    session.execute(update(Image).where(Image.id == candidate.image_id).values(sha256=sha256, source_sha256=sha256))
    return candidate.id


@pytest.mark.usefixtures("own_database", "quiet")
def test_the_real_stages_hold_a_record_number_of_what_is_drawn_and_let_the_other_be_audited() -> None:
    with transaction() as session:
        labelled, plain = stopped(session, "MRN 1234567"), stopped(session, "")
        set_share(session, 1)
    work()
    assert states() == {labelled: (S.FLAGGED, "writing"), plain: (S.FILTERED_OUT, "quality")}
    with transaction() as session:
        assert audits(session) == {plain}
        assert not audit.draws(session)


def test_a_candidate_that_goes_through_the_stages_after_all_is_not_screened_beside(session: Session) -> None:
    candidate = draw_unscreened(session, "A melanoma.")
    assert due.reopened(session, [candidate.id]) == [candidate.id]
    assert session.scalar(select(func.count()).select_from(StageTodo)) == 0


def judge(session: Session, name: str, candidate: Candidate, kind: ReviewKind) -> Review:
    actor = act(session, name)
    lease = next(lease for lease in leases.hold(session, actor) if lease.candidate_id == candidate.id)
    session.refresh(candidate)
    return curation.decide(
        session,
        actor,
        curation.Decision(
            candidate.id,
            lease.token,
            candidate.caption_version,
            uuid4(),
            kind,
            caption="Melanoma, H&E.",
            reasons=("not_histopathology",) if kind is ReviewKind.REJECT else (),
        ),
    )


@pytest.mark.parametrize(
    ("kind", "state"),
    [(ReviewKind.ACCEPT, S.ACCEPTED), (ReviewKind.REJECT, S.FILTERED_OUT), (ReviewKind.FLAG, S.FLAGGED)],
)
def test_what_an_audit_says_becomes_of_the_candidate(session: Session, kind: ReviewKind, state: S) -> None:
    make_person(session, "alder")
    candidate = scored(session, 0.1)
    set_share(session, 1)
    audit.draw(session)
    review = judge(session, "alder", candidate, kind)
    session.refresh(candidate)
    assert (review.purpose, candidate.state) == (Purpose.AUDIT, state)
    curation.undo(session, act(session, "alder"), review.id)
    session.refresh(candidate)
    assert candidate.state in (S.QUEUED, S.FILTERED_OUT)
    again = judge(session, "alder", candidate, kind)
    session.refresh(candidate)
    assert again.id != review.id
    assert candidate.state in (state, S.REJECTED)


def test_a_candidate_that_was_audited_and_rejected_stays_out_when_the_line_is_lowered(session: Session) -> None:
    make_person(session, "alder")
    candidate = scored(session, 0.1)
    set_share(session, 1)
    audit.draw(session)
    judge(session, "alder", candidate, ReviewKind.REJECT)
    assert moves.refilter(session, [candidate.id], S.FILTERED_OUT) == []


def test_going_back_to_the_stages_drops_an_open_audit(session: Session) -> None:
    candidate = scored(session, 0.1)
    set_share(session, 1)
    audit.draw(session)
    assert moves.refilter(session, [candidate.id], S.FILTERED_OUT) == [candidate.id]
    assert audits(session) == set()


def test_the_bins_count_all_the_judged_and_the_good(session: Session) -> None:
    make_person(session, "alder")
    dropped = scored(session, 0.105)
    scored(session, 0.107)
    for _ in range(2):
        scored(session, 0.9, S.ACCEPTED)
    scored(session, 1.0, S.REJECTED)
    set_share(session, 1)
    audit.draw(session)
    judge(session, "alder", dropped, ReviewKind.REJECT)
    bins = evidence.bins(session, "domain")
    assert (bins[10].scored, bins[10].judged, bins[10].good) == (2, 1, 0)
    assert (bins[90].scored, bins[90].judged, bins[90].good) == (2, 2, 2)
    assert (bins[99].scored, bins[99].judged, bins[99].good) == (1, 1, 0)
    assert evidence.effects(session)["domain"].dropped == 2


def test_the_page_of_a_stage_shows_what_people_said_and_sets_a_line_back(session: Session, sign_in: SignIn) -> None:
    scored(session, 0.1)
    for _ in range(3):
        scored(session, 0.9, S.ACCEPTED)
    elm = sign_in("elm")
    elm.post("/prefilter/domain/threshold", data={"threshold": "0.6", "expected": "0.5"})
    page = elm.get("/prefilter/domain?threshold=0.7").text
    assert "Good pairs lost" in page
    assert "Set back to 0.5" in page
    assert "No line is proposed yet. 149 judged candidates are needed; there are 3." in page


def test_an_admin_sets_the_share_and_bad_numbers_are_refused_beside_their_field(
    session: Session, sign_in: SignIn
) -> None:
    scored(session, 0.1)
    elm = sign_in("elm")
    assert elm.post("/prefilter/audit", data={"share": "5", "bound": "1"}).status_code in (200, 303)
    assert evidence.audit_settings(session) == evidence.AuditSettings(0.05, 0.01)
    refused = elm.post("/prefilter/audit", data={"share": "500", "bound": "1"})
    assert refused.status_code == 422
    assert 'aria-invalid="true"' in refused.text


def test_the_funnel_of_one_source_counts_only_its_candidates(session: Session, sign_in: SignIn) -> None:
    first = scored(session, 0.1)
    make_candidate(session, run=make_import(session, "another"))
    source = candidates.source_of(session, first)
    page = sign_in("elm").get(f"/prefilter?source={source.id}").text
    assert "1 candidate in" in page
    assert session.scalar(select(func.count()).select_from(Candidate)) == 2
