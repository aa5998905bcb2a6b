"""What admins do with the pre-filter: move thresholds, run stages again, choose classifiers.

A threshold is applied to stored scores, in batches, by a job.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from sqlalchemy import ARRAY, BigInteger, any_, func, literal, select, update
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import Actor
from app.curation import moves
from app.errors import Conflict, Invalid
from app.prefilter import due, held, holding, queries, stages
from app.prefilter.languages import CODES
from app.prefilter.privacy import OF_STAGE
from app.prompts import queries as prompts
from app.tables import Candidate, CandidateState, FindingNow, Job, Outcome, Stage, WorkQueue

S = CandidateState


BATCH = 200


def set_threshold(session: Session, actor: Actor, name: str, threshold: float, expected: float | None) -> Job:
    """Changes a stage's line and starts the job that moves candidates. Raises Invalid, Conflict when it changed.

    `expected` is the threshold that the admin saw when deciding.
    """
    if name not in stages.BY_NAME or not stages.BY_NAME[name].has_threshold:
        raise Invalid("This stage has no threshold.")
    if not 0 <= threshold <= 1:
        raise Invalid("Use a number from 0 to 1.", fields={"threshold": "Use a number from 0 to 1."})
    row = session.scalars(select(Stage).where(Stage.name == name).with_for_update()).one()
    if expected is not None and row.threshold != expected:
        raise Conflict(f"Someone set this threshold to {row.threshold:g} meanwhile.", "Look at the preview again.")
    details = {"from": row.threshold, "to": threshold}
    row.threshold, row.changed_at = threshold, func.clock_timestamp()
    session.flush()
    jobs.record(session, "stage.threshold_changed", "stage", name, user_id=actor.user_id, details=details)
    # One job a change: one that runs already would not go back to what it has passed.
    return jobs.submit(
        session, "threshold", WorkQueue.CPU, {"stage": name}, unit="candidates", requested_by=actor.user_id
    )


def set_reviewed_languages(session: Session, actor: Actor, codes: Collection[str]) -> Job | None:
    """Says captions of which languages go on to reviewers; starts the job that moves candidates, if that changes.

    Every language means those to come as well. Raises Invalid for none or an unknown one.
    """
    if not codes or not set(codes) <= set(CODES):
        raise Invalid("Choose at least one language of the list.", fields={"reviewed": "Choose at least one."})
    row = session.scalars(select(Stage).where(Stage.name == "language").with_for_update()).one()
    before, reviewed = row.setting.get("reviewed"), [code for code in CODES if code in codes]
    wanted = None if len(reviewed) == len(CODES) else reviewed
    if wanted == before:
        return None
    row.setting, row.changed_at = {**row.setting, "reviewed": wanted}, func.clock_timestamp()
    session.flush()
    details = {"from": before, "to": wanted}
    jobs.record(session, "stage.languages_changed", "stage", "language", user_id=actor.user_id, details=details)
    return jobs.submit(
        session, "threshold", WorkQueue.CPU, {"stage": "language"}, unit="candidates", requested_by=actor.user_id
    )


def apply_threshold(session: Session, name: str, after: int) -> tuple[int, int, int | None]:
    """One batch of what the stage's threshold now says. Returns (dropped, reopened, last id or None at the end)."""
    row = session.scalars(select(Stage).where(Stage.name == name).with_for_update(read=True)).one()
    if name in OF_STAGE:
        return holding.apply(session, row, after)
    wrong = queries.stops(row) == (Candidate.state != S.FILTERED_OUT)
    movable = Candidate.state.in_([S.FILTERING, S.QUEUED]) | (
        (Candidate.state == S.FILTERED_OUT) & (Candidate.stopped_by == name)
    )
    found = session.execute(
        select(Candidate.id, Candidate.state)
        .join(FindingNow, (FindingNow.candidate_id == Candidate.id) & (FindingNow.stage == name))
        .where(Candidate.id > after, FindingNow.score.is_not(None), wrong, movable)
        .order_by(Candidate.id)
        .limit(BATCH)
    ).all()
    if not found:
        return 0, 0, None
    by_state: dict[S, list[int]] = {}
    for candidate_id, state in found:
        by_state.setdefault(state, []).append(candidate_id)
    dropped = _drop(session, name, by_state)
    reopened = due.reopened(session, by_state.get(S.FILTERED_OUT, []))
    due.go_on(session, name, reopened)
    return dropped, len(reopened), found[-1][0]


def _drop(session: Session, name: str, by_state: Mapping[S, list[int]]) -> int:
    queued = moves.filter_out(session, by_state.get(S.QUEUED, []), name, S.QUEUED)
    filtering = moves.filter_out(session, by_state.get(S.FILTERING, []), name, S.FILTERING)
    due.forget(session, filtering)
    return len(queued) + len(filtering)


def left_in_review(session: Session, name: str) -> int:
    """Queued candidates below the line that someone holds or reviewed; they go once their lease ends."""
    row = queries.stage_row(session, name)
    stops = held.holds(row.setting.get("actions", {})) if name in OF_STAGE else queries.stops(row)
    return (
        session.scalar(
            select(func.count())
            .select_from(Candidate)
            .join(FindingNow, (FindingNow.candidate_id == Candidate.id) & (FindingNow.stage == name))
            .where(Candidate.state == S.QUEUED, stops)
        )
        or 0
    )


# --- running again ------------------------------------------------------------------------------


def run_again(session: Session, actor: Actor, stage: str | None, candidate_ids: Sequence[int] | None) -> Job:
    """Runs a stage (all, when None) again, for some candidates or for every one; decided ones stay as they are."""
    if stage is not None and stage not in stages.BY_NAME:
        raise Invalid("There is no such stage.")
    name = stage or stages.NAMES[0]
    ids = list(candidate_ids) if candidate_ids is not None else None
    details = {"stage": name, "candidates": len(ids) if ids is not None else "all"}
    jobs.record(session, "stage.run_again", "stage", name, user_id=actor.user_id, details=details)
    arguments = {"stage": name, "candidates": ids}
    key = f"rerun:{name}" if ids is None else None
    return jobs.submit(
        session, "rerun", WorkQueue.CPU, arguments, unit="candidates", dedupe=key, requested_by=actor.user_id
    )


def send_back(session: Session, name: str, candidate_ids: Sequence[int] | None, after: int) -> tuple[int, int | None]:
    """One batch of candidates back before a stage. Returns (how many, last id or None at the end).

    Those that an earlier stage stopped stay, and so do decided and held ones. Where this stage was to screen one of the
    former for the audit and failed, it looks again.
    """
    following = stages.from_here_on(name)
    stays = (Candidate.state == S.FILTERED_OUT) & Candidate.stopped_by.not_in(following)
    unscreened = (FindingNow.outcome != Outcome.OK) & FindingNow.stage.in_(OF_STAGE)
    statement = (
        select(Candidate.id, Candidate.state, stays.label("stays"))
        .join(FindingNow, (FindingNow.candidate_id == Candidate.id) & (FindingNow.stage == name))
        .where(
            Candidate.id > after,
            Candidate.state.in_([S.QUEUED, S.FILTERED_OUT, S.FILTERING]),
            FindingNow.stale.is_(False),
            ~stays | unscreened,
        )
        .order_by(Candidate.id)
        .limit(BATCH)
    )
    if candidate_ids is not None:
        # As one array: a filter may list more than the 65,535 values that a statement can have.
        statement = statement.where(Candidate.id == any_(literal(list(candidate_ids), ARRAY(BigInteger))))
    found = session.execute(statement).all()
    if not found:
        return 0, None
    moved = [
        candidate.id
        for candidate in moves.lock(session, [one.id for one in found if one.state is S.FILTERING])
        if candidate.state is S.FILTERING
    ]
    for state in (S.QUEUED, S.FILTERED_OUT):
        moved += moves.refilter(session, [one.id for one in found if one.state is state and not one.stays], state)
    due.forget(session, moved)
    session.execute(
        update(FindingNow).where(FindingNow.candidate_id.in_(moved), FindingNow.stage.in_(following)).values(stale=True)
    )
    again = [*moved, *(one.id for one in found if one.stays)]
    due.due(session, stages.BY_NAME[name], again)
    return len(again), found[-1].id


def adopt_versions(session: Session) -> None:
    """Puts the stages of this program's version in force; one that would now find something else runs again."""
    for name, version in queries.newer_versions(session).items():
        row = session.scalars(select(Stage).where(Stage.name == name).with_for_update()).one()
        details = {"from": row.active_version, "to": version}
        row.active_version, row.changed_at = version, func.clock_timestamp()
        jobs.record(session, "stage.version_changed", "stage", row.name, details=details)
        _everyone_again(session, row.name, None)


def pause(session: Session, actor: Actor, name: str, *, paused: bool) -> None:
    """Lets a stage take no more candidates, or go on where it was. Raises Invalid, Conflict at a spent budget."""
    if name not in stages.BY_NAME:
        raise Invalid("There is no such stage.")
    row = session.scalars(select(Stage).where(Stage.name == name).with_for_update()).one()
    if name == "llm" and not paused and prompts.is_spent(session):
        raise Conflict("The budget is spent.", "Raise it first, on the page Prompts of the pre-filter.")
    was, row.paused = row.paused, paused
    session.flush()
    if paused and not was:
        jobs.record(session, "stage.paused", "stage", name, user_id=actor.user_id)
        for job_id in queries.open_stage_jobs(session, name):
            jobs.request_cancel(session, job_id, actor.user_id)
    if was and not paused:
        jobs.record(session, "stage.resumed", "stage", name, user_id=actor.user_id)
        due.submit_stage(session, stages.BY_NAME[name])


def use_classifier(session: Session, actor_id: int | None, classifier_id: int | None) -> None:
    """Takes a domain classifier into use (None: none); the stage runs again on everything."""
    row = session.scalars(select(Stage).where(Stage.name == "domain").with_for_update()).one()
    details = {"from": row.setting.get("classifier"), "to": classifier_id}
    row.setting = {**row.setting, "classifier": classifier_id}
    session.flush()
    jobs.record(session, "stage.classifier_changed", "stage", "domain", user_id=actor_id, details=details)
    _everyone_again(session, "domain", actor_id)


def _everyone_again(session: Session, name: str, actor_id: int | None) -> Job:
    """A job of its own for every change: one that runs already would not go back to what it has passed."""
    arguments = {"stage": name, "candidates": None}
    return jobs.submit(session, "rerun", WorkQueue.CPU, arguments, unit="candidates", requested_by=actor_id)


def use_encoder(session: Session, encoder_id: int) -> None:
    """The encoder whose vectors the embedding stage makes; histology and alignment compare them with texts."""
    before = queries.encoder_in_use(session)
    users = Stage.name.in_(("embedding", "domain", "alignment"))
    for row in session.scalars(select(Stage).where(users).order_by(Stage.name).with_for_update()):
        row.setting = {**row.setting, "encoder": encoder_id}
    session.flush()
    details = {"from": before.name if before else None, "to": queries.encoder(session, encoder_id).name}
    jobs.record(session, "stage.encoder_changed", "stage", "embedding", details=details)


def load_labels(session: Session, actor: Actor, name: str, table: Path, pictures: Path) -> Job:
    """Loads a label set from files on this machine and trains the histology classifier on it."""
    arguments = {"name": name, "csv": str(table), "pictures": str(pictures), "train": True}
    jobs.record(session, "label_set.load_started", "label_set", name, user_id=actor.user_id)
    return jobs.submit(
        session,
        "label_set",
        WorkQueue.CPU,
        arguments,
        unit="pictures",
        dedupe=f"label_set:{name}",
        requested_by=actor.user_id,
    )


def training_job(session: Session) -> int | None:
    """The job that trains a classifier now, if one does."""
    open_ = Job.state.in_(jobs.OPEN)
    return session.scalars(select(Job.id).where(Job.kind == "train_classifier", open_).order_by(Job.id)).first()
