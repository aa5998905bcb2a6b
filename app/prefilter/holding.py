"""What admins do about private details: what a kind does, and what becomes of the candidates that a stage holds.

Order of locks as everywhere: the stages' rows, then candidates by id.
"""

from collections.abc import Mapping, Sequence
from uuid import uuid4

from sqlalchemy import BigInteger, delete, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import Actor
from app.curation import actions as curation
from app.curation import moves
from app.curation.policies import is_withheld
from app.errors import Conflict
from app.prefilter import due, held, offers, queries, stages
from app.prefilter.policies import Offer, StageResult
from app.prefilter.privacy import OF_STAGE, TAKEN_OUT, PrivateKind
from app.prefilter.private_details import MADE_BY, Detail, proposal
from app.tables import (
    Candidate,
    CandidateState,
    CaptionKind,
    Finding,
    FindingNow,
    FlagOrigin,
    Release,
    ReviewKind,
    Stage,
    WorkQueue,
)

S = CandidateState
BATCH = 200


# --- what a kind does ---------------------------------------------------------------------------


def set_actions(session: Session, actor: Actor, wanted: Mapping[str, held.Actions], seen: str) -> bool:
    """Says what each kind does, by stage, and has jobs apply it to undecided candidates. False if nothing changes.

    `seen` is the version of the actions that the admin saw. Raises Conflict when they were changed since.
    """
    statement = select(Stage).where(Stage.name.in_(OF_STAGE)).order_by(Stage.name).with_for_update()
    rows = session.scalars(statement.execution_options(populate_existing=True)).all()
    if held.version({row.name: row.setting.get("actions", {}) for row in rows}) != seen:
        raise Conflict("Someone changed these settings meanwhile.", "Look at them again.")
    changed = [_change(session, actor, row, wanted.get(row.name, {})) for row in rows]
    return any(changed)


def _change(session: Session, actor: Actor, row: Stage, wanted: held.Actions) -> bool:
    before = row.setting.get("actions", {})
    new = {kind: action for kind, action in wanted.items() if before.get(kind) != action}
    if not new:
        return False
    row.setting, row.changed_at = {**row.setting, "actions": {**before, **new}}, func.clock_timestamp()
    session.flush()
    old = {kind: before.get(kind) for kind in new}
    jobs.record(
        session, "stage.privacy_changed", "stage", row.name, user_id=actor.user_id, details={"from": old, "to": new}
    )
    _apply_by_job(session, actor, "threshold", {"stage": row.name})
    if row.name == "private" and any((old[kind] in TAKEN_OUT) != (new[kind] in TAKEN_OUT) for kind in new):
        _apply_by_job(session, actor, "rerun", {"stage": row.name, "candidates": None})  # other texts are on offer
    return True


def _apply_by_job(session: Session, actor: Actor, kind: str, arguments: dict[str, object]) -> None:
    """A job of its own for every change: one that runs already would not go back to what it has passed."""
    jobs.submit(session, kind, WorkQueue.CPU, arguments, unit="candidates", requested_by=actor.user_id)


def apply(session: Session, row: Stage, after: int) -> tuple[int, int, int | None]:
    """One batch of what a stage's actions now say. Returns (held, let go, last id or None at the end).

    Those that are held no more go through the stage again, on the finding that is there; decided ones stay.
    """
    misplaced = held.wrongly_placed(row.name, row.setting.get("actions", {})).where(Candidate.id > after)
    found = session.execute(misplaced.order_by(Candidate.id).limit(BATCH)).all()
    if not found:
        return 0, 0, None
    by_state: dict[S, list[int]] = {}
    for candidate_id, state in found:
        by_state.setdefault(state, []).append(candidate_id)
    let_go = moves.let_go(session, by_state.pop(S.FLAGGED, []))
    due.due(session, stages.BY_NAME[row.name], _not_stopped(session, row.name, let_go))
    return hold(session, row.name, by_state), len(let_go), found[-1][0]


def _not_stopped(session: Session, stage: str, candidate_ids: Sequence[int]) -> list[int]:
    """Those that may go on from this stage; what an earlier one stops was held on its way to the audit."""
    stopped = queries.stopped_before(session, stage, candidate_ids)
    for id_, name in stopped.items():
        moves.filter_out(session, [id_], name)
    return [id_ for id_ in candidate_ids if id_ not in stopped]


def hold(session: Session, stage: str, by_state: Mapping[S, Sequence[int]]) -> int:
    """Holds those that nobody reviews; what is on its way through the stages stops there."""
    filtering = [
        candidate.id
        for candidate in moves.lock(session, by_state.get(S.FILTERING, ()))
        if candidate.state is S.FILTERING
    ]
    for state in (S.QUEUED, S.FILTERED_OUT):
        filtering += moves.refilter(session, by_state.get(state, ()), state)
    due.forget(session, filtering)
    return len(moves.hold(session, filtering, stage))


# --- held candidates ----------------------------------------------------------------------------


def release(session: Session, actor: Actor, candidate_ids: Sequence[int]) -> int:
    """Lets held candidates go on in spite of what was found; only another finding holds them again."""
    by_stage: dict[str, list[int]] = {}
    for candidate in _still_held(session, candidate_ids):
        by_stage.setdefault(candidate.stopped_by or "", []).append(candidate.id)
    for stage, ids in by_stage.items():
        found = select(FindingNow.candidate_id, FindingNow.finding_id, literal(actor.user_id, BigInteger))
        found = found.where(FindingNow.stage == stage, FindingNow.candidate_id.in_(ids))
        columns = ["candidate_id", "finding_id", "user_id"]
        session.execute(insert(Release).from_select(columns, found).on_conflict_do_nothing())
        if stage == "private":
            _offer_without_details(session, ids)
        _go_on(session, stage, _not_stopped(session, stage, moves.let_go(session, ids)))
        for id_ in ids:
            details = {"stage": stage}
            jobs.record(session, "candidate.released", "candidate", id_, user_id=actor.user_id, details=details)
    return sum(map(len, by_stage.values()))


def _offer_without_details(session: Session, candidate_ids: Sequence[int]) -> None:
    """Under the actions in force, for the stage may have looked when they took out less."""
    actions = held.actions(session)["private"]
    for id_, caption, spans in held.details(session, candidate_ids):
        found = [Detail(span["start"], span["end"], PrivateKind(span["kind"])) for span in spans]
        if text := proposal(caption.text or "", found, actions):
            made = Offer(CaptionKind.PROPOSED, text, MADE_BY, caption.id)
            offers.offer(session, [StageResult(id_, offers=[made])])


def _go_on(session: Session, stage: str, candidate_ids: Sequence[int]) -> None:
    """To the next stage; what changed while it was held goes back to the first stage that has to look again."""
    of_stale = FindingNow.candidate_id.in_(candidate_ids) & FindingNow.stale
    stale: dict[int, list[str]] = {}
    for id_, name in session.execute(select(FindingNow.candidate_id, FindingNow.stage).where(of_stale)):
        stale.setdefault(id_, []).append(name)
    for id_, names in stale.items():
        due.due(session, stages.BY_NAME[min(names, key=stages.NAMES.index)], [id_])
    due.go_on(session, stage, [id_ for id_ in candidate_ids if id_ not in stale])


def reject(session: Session, actor: Actor, candidate_ids: Sequence[int], reason: str) -> int:
    """Rejects held candidates, which then stay out of others' sight. Raises Invalid without a known reason."""
    held_now = _still_held(session, candidate_ids)
    for candidate in held_now:
        decision = curation.Decision(
            candidate_id=candidate.id,
            token=uuid4(),
            caption_version=candidate.caption_version,
            submission_id=uuid4(),
            kind=ReviewKind.REJECT,
            reasons=[reason],
        )
        curation.resolve(session, actor, decision)
    return len(held_now)


def _still_held(session: Session, candidate_ids: Sequence[int]) -> list[Candidate]:
    return [c for c in moves.lock(session, candidate_ids) if c.flag_origin is FlagOrigin.MACHINE]


def hold_again(session: Session, actor: Actor, candidate_id: int) -> None:
    """Takes back a release, or a rejection of a held candidate. Raises Conflict when people have it or decided it."""
    candidate = next(iter(moves.lock(session, [candidate_id])), None)
    stage = _held_before_by(session, candidate) if candidate else None
    if candidate is None or stage is None:
        raise Conflict(f"C-{candidate_id} was not released or rejected.", "Look at the list again.")
    if candidate.state is S.REJECTED:
        moves.next_round(session, candidate_id, S.REJECTED)
        session.refresh(candidate)
    if not hold(session, stage, {candidate.state: [candidate_id]}):
        raise Conflict(f"C-{candidate_id} is with a reviewer, or was decided.", "Its page says where it stands.")
    of_stage = select(Finding.id).where(Finding.candidate_id == candidate_id, Finding.stage == stage)
    session.execute(delete(Release).where(Release.finding_id.in_(of_stage)))
    session.refresh(candidate)
    details = {"stage": stage}
    jobs.record(session, "candidate.held_again", "candidate", candidate_id, user_id=actor.user_id, details=details)


def _held_before_by(session: Session, candidate: Candidate) -> str | None:
    """The stage that held it until an admin rejected or, last, released it."""
    if is_withheld(candidate.state, candidate.flag_origin, candidate.stopped_by):
        return candidate.stopped_by if candidate.state is S.REJECTED else None
    released = select(Finding.stage).join(Release, Release.finding_id == Finding.id)
    return session.scalar(released.where(Release.candidate_id == candidate.id).order_by(Release.at.desc()).limit(1))
