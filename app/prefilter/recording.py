"""Writing what a stage found, and sending each candidate on or stopping it, in a worker's step."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import jobs
from app.curation import moves, orders
from app.prefilter import copies, due, holding, lookalikes, offers, queries, sameness, stages
from app.prefilter.policies import StageResult, Verdict, verdict
from app.prefilter.privacy import OF_STAGE
from app.tables import (
    Candidate,
    CandidateState,
    EvidenceKind,
    EvidenceText,
    Finding,
    FindingNow,
    Outcome,
    Release,
    Stage,
    WorkQueue,
)

S = CandidateState


class Sent(NamedTuple):
    """How many candidates of a batch went on, were stopped, or are held for an admin."""

    passed: int = 0
    dropped: int = 0
    held: int = 0


def write_results(
    session: Session,
    stage: stages.Stage,
    batch: due.Batch,
    results: Sequence[StageResult],
    hashes: Mapping[int, str],
    job_id: int | None,
) -> Sent:
    """Writes a batch's findings and sends each candidate on or stops it.

    Only candidates whose due row still carries the batch's token and that are still being filtered are touched, or
    were drawn for the audit and are screened for private details.
    What was looked at under a setting or version that no longer holds is given back instead.
    """
    row = session.scalars(select(Stage).where(Stage.name == stage.name).with_for_update(read=True)).one()
    token = batch.token
    if row.setting != batch.setting or row.active_version != stage.version:
        due.give_back(session, stage, token)
        return Sent()
    by_id = {result.candidate_id: result for result in results}
    if stage.name == "sameness":
        return _write_sameness(session, stage, row, token, by_id, job_id)
    locked = moves.lock(session, by_id)
    late = _write_late(session, stage, row, token, by_id, hashes, job_id, locked) if stage.name == "llm" else 0
    taken = due.done(session, stage, token, list(by_id))
    mine = [by_id[id_] for id_ in _still(session, S.FILTERING, taken)]
    screened = [by_id[id_] for id_ in _still(session, S.FILTERED_OUT, taken) if stage.name in OF_STAGE]
    keep_words(session, [*mine, *screened])
    write_findings(session, stage.name, row.active_version, [*mine, *screened], hashes, job_id)
    offers.offer(session, [*mine, *screened])
    sent, held = _send_on(session, stage, row, mine), _hold_screened(session, stage, row, screened)
    return Sent(sent.passed + late + len(screened) - held, sent.dropped, sent.held + held)


def _still(session: Session, state: S, candidate_ids: Sequence[int]) -> list[int]:
    """Those of the candidates that are in this state now; the caller has locked them."""
    statement = select(Candidate.id).where(Candidate.id.in_(candidate_ids), Candidate.state == state)
    return sorted(session.scalars(statement))


def write_findings(
    session: Session,
    stage: str,
    version: str,
    results: Sequence[StageResult],
    hashes: Mapping[int, str],
    job_id: int | None,
) -> None:
    """Appends findings and points `finding_now` at them; a finding on the same input is found, not repeated."""
    for result in results:
        key = {
            "candidate_id": result.candidate_id,
            "stage": stage,
            "stage_version": version,
            "input_hash": hashes[result.candidate_id],
        }
        finding_id = _known_ok(session, key) if result.outcome is Outcome.OK else None
        finding_id = finding_id or _append(session, key, result, job_id)
        now = {
            "finding_id": finding_id,
            "outcome": result.outcome,
            "score": result.score,
            "label": result.label,
            "stale": False,
        }
        statement = insert(FindingNow).values(candidate_id=result.candidate_id, stage=stage, **now)
        session.execute(statement.on_conflict_do_update(index_elements=["candidate_id", "stage"], set_=now))


def keep_words(session: Session, results: Sequence[StageResult]) -> None:
    """Stores what was read in pictures and names it in the findings' evidence. Words that were blanked stay blank."""
    for result in results:
        if result.words:
            key = {
                "candidate_id": result.candidate_id,
                "kind": EvidenceKind.BURNED_IN,
                "text_sha256": hashlib.sha256(result.words.encode()).hexdigest(),
            }
            session.execute(insert(EvidenceText).values(**key, text=result.words).on_conflict_do_nothing())
            stored = session.scalars(select(EvidenceText.id).filter_by(**key)).one()
            result.evidence = {**result.evidence, "words": stored}


def _known_ok(session: Session, key: dict[str, Any]) -> int | None:
    return session.scalar(select(Finding.id).filter_by(**key, outcome=Outcome.OK))


def _append(session: Session, key: dict[str, Any], result: StageResult, job_id: int | None) -> int:
    before = session.scalar(select(func.max(Finding.attempt)).filter_by(**key))
    statement = insert(Finding).values(
        **key,
        attempt=(before or 0) + 1,
        outcome=result.outcome,
        score=result.score,
        label=result.label,
        evidence=result.evidence,
        job_id=job_id,
    )
    return session.scalars(statement.returning(Finding.id)).one()


def _send_on(session: Session, stage: stages.Stage, row: Stage, results: Sequence[StageResult]) -> Sent:
    sides: dict[Verdict, list[int]] = {side: [] for side in Verdict}
    released = _released(session, stage.name, [result.candidate_id for result in results])
    for result in results:
        said = verdict(result, row.threshold, row.setting)
        is_released = said is Verdict.HOLD and result.candidate_id in released
        sides[Verdict.PASS if is_released else said].append(result.candidate_id)
    moves.filter_out(session, sides[Verdict.DROP], stage.name)
    moves.hold(session, sides[Verdict.HOLD], stage.name)
    due.go_on(session, stage.name, sides[Verdict.PASS])
    return Sent(*(len(sides[side]) for side in (Verdict.PASS, Verdict.DROP, Verdict.HOLD)))


def _hold_screened(session: Session, stage: stages.Stage, row: Stage, results: Sequence[StageResult]) -> int:
    """Of those that were drawn for the audit, holds what an admin must see first; the others are asked for now."""
    if not results:
        return 0
    found = [one.candidate_id for one in results if verdict(one, row.threshold, row.setting) is Verdict.HOLD]
    released = _released(session, stage.name, found)
    held = holding.hold(session, stage.name, {S.FILTERED_OUT: [id_ for id_ in found if id_ not in released]})
    due.submit_audit(session)
    return held


def _write_late(
    session: Session,
    stage: stages.Stage,
    row: Stage,
    token: UUID,
    by_id: Mapping[int, StageResult],
    hashes: Mapping[int, str],
    job_id: int | None,
    locked: Sequence[Candidate],
) -> int:
    """What the language model says of candidates that went on without it, as it was down. Returns how many.

    Its caption goes on offer, and its line stops a candidate, only while nobody reviewed or holds it.
    """
    elsewhere = due.ahead(session, list(by_id))
    gone_on = (S.QUEUED, S.FILTERED_OUT)
    late = {one.id: one for one in locked if one.state in gone_on or (one.state is S.FILTERING and one.id in elsewhere)}
    mine = due.done(session, stage, token, list(late))
    results = [by_id[id_] for id_ in mine]
    write_findings(session, stage.name, row.active_version, results, hashes, job_id)
    free = set(moves.untouched(session, mine))
    offers.offer(session, [result for result in results if result.candidate_id in free])
    dropped = [one for one in results if verdict(one, row.threshold, row.setting) is Verdict.DROP]
    _stop(session, stage, [late[result.candidate_id] for result in dropped])
    orders.prioritise(session, [id_ for id_ in mine if late[id_].state is S.QUEUED])
    return len(mine)


def _released(session: Session, stage: str, candidate_ids: Sequence[int]) -> set[int]:
    """Those that an admin let go in spite of what the stage found, and still finds."""
    statement = (
        select(FindingNow.candidate_id)
        .join(Release, Release.finding_id == FindingNow.finding_id)
        .where(FindingNow.stage == stage, FindingNow.candidate_id.in_(candidate_ids))
    )
    return set(session.scalars(statement))


# --- sameness: the one stage whose finding on a candidate changes with its neighbours -------------


def _write_sameness(
    session: Session,
    stage: stages.Stage,
    row: Stage,
    token: UUID,
    by_id: dict[int, StageResult],
    job_id: int | None,
) -> Sent:
    sameness.lock_grouping(session)
    image_of = dict(session.execute(select(Candidate.id, Candidate.image_id).where(Candidate.id.in_(by_id))).all())
    sameness.save_hashes(session, [(image_of[r.candidate_id], r.pdq, r.pdq_quality) for r in by_id.values() if r.pdq])
    lookalikes.save(session, [match for result in by_id.values() for match in result.matches])
    content = {image_of[id_]: float(result.evidence.get("content", 1.0)) for id_, result in by_id.items()}
    found = sameness.regroup(session, set(image_of.values()), sameness.radius_of(row), content)
    locked = moves.lock(session, found.candidate_ids | set(by_id))
    mine = _still(session, S.FILTERING, due.done(session, stage, token, list(by_id)))
    verdicts = copies.all_verdicts(found.members, found.joined, found.alone)
    results, hashes = [], {}
    for id_ in mine:
        result = by_id[id_]
        hashes[id_] = queries.input_hash(image_of[id_])
        if result.outcome is Outcome.OK:
            verdict = verdicts.get(id_) or copies.alone(id_, content[image_of[id_]])
            result.score, result.label, result.evidence = verdict.score, verdict.label, verdict.evidence
            hashes[id_] = verdict.looked_at
        results.append(result)
    write_findings(session, stage.name, row.active_version, results, hashes, job_id)
    sent = _send_on(session, stage, row, results)
    _revise(session, stage, row, verdicts, [one for one in locked if one.id not in mine], job_id)
    return sent


def hold_sameness(session: Session) -> Stage:
    """The stage in force, with no grouping going on beside the caller's own; before candidates are locked."""
    row = session.scalars(select(Stage).where(Stage.name == "sameness").with_for_update(read=True)).one()
    sameness.lock_grouping(session)
    return row


def regroup(session: Session, row: Stage, image_ids: Collection[int]) -> list[int]:
    """Groups images anew after a person's word on them, and moves what changes sides. Returns the groups' numbers.

    `row` is what `hold_sameness` gave before that word was written.
    """
    found = sameness.regroup(session, image_ids, sameness.radius_of(row))
    locked = moves.lock(session, found.candidate_ids)
    verdicts = copies.all_verdicts(found.members, found.joined, found.alone)
    _revise(session, stages.BY_NAME[row.name], row, verdicts, locked, None)
    return list(found.members)


def _revise(
    session: Session,
    stage: stages.Stage,
    row: Stage,
    verdicts: Mapping[int, copies.Verdict],
    others: Sequence[Candidate],
    job_id: int | None,
) -> None:
    """Marks the kept copies, and moves earlier members whose verdict changed: a better copy came, or theirs went."""
    kept = {id_ for id_, verdict in verdicts.items() if verdict.score == 1.0}
    sameness.mark_kept(session, kept, set(verdicts) - kept)
    before = _said_before(session, stage.name, [candidate.id for candidate in others])
    changed = [c for c in others if c.id in before and c.id in verdicts and before[c.id] != _said(verdicts[c.id])]
    for id_ in (candidate.id for candidate in changed):
        verdict = verdicts[id_]
        result = StageResult(id_, Outcome.OK, verdict.score, verdict.label, verdict.evidence)
        write_findings(session, stage.name, row.active_version, [result], {id_: verdict.looked_at}, job_id)
    _let_through(session, stage, [c for c in changed if c.id in kept])
    _stop(session, stage, [c for c in changed if c.id not in kept])


def _said(verdict: copies.Verdict) -> tuple[float, str, int | None]:
    return verdict.score, verdict.label, verdict.evidence.get("kept")


def _said_before(
    session: Session, stage: str, candidate_ids: Sequence[int]
) -> dict[int, tuple[float | None, str | None, int | None]]:
    rows = session.execute(
        select(FindingNow.candidate_id, FindingNow.score, FindingNow.label, Finding.evidence["kept"].as_integer())
        .join(Finding, Finding.id == FindingNow.finding_id)
        .where(FindingNow.stage == stage, FindingNow.candidate_id.in_(candidate_ids))
    )
    return {id_: (score, label, kept) for id_, score, label, kept in rows}


def _let_through(session: Session, stage: stages.Stage, candidates: Sequence[Candidate]) -> None:
    """Those that are no longer a copy go on where they were stopped."""
    stopped = [c.id for c in candidates if c.state is S.FILTERED_OUT and c.stopped_by == stage.name]
    due.go_on(session, stage.name, due.reopened(session, stopped))


def _stop(session: Session, stage: stages.Stage, candidates: Sequence[Candidate]) -> None:
    """New copies of another go; one that someone holds or reviewed goes when that ends."""
    filtering = [c.id for c in candidates if c.state is S.FILTERING]
    due.forget(session, moves.filter_out(session, filtering, stage.name))
    queued = [c.id for c in candidates if c.state is S.QUEUED]
    if len(moves.filter_out(session, queued, stage.name, S.QUEUED)) < len(queued):
        arguments = {"stage": stage.name}
        key = f"threshold:{stage.name}"
        jobs.submit(session, "threshold", WorkQueue.CPU, arguments, unit="candidates", dedupe=key)
