"""What admins do with runs: launch, cancel, resume, go on, keep, tidy. A worker's job does the work."""

from dataclasses import replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import Actor
from app.advisory import LAUNCH_RUN
from app.errors import Conflict, Invalid
from app.operations import actions as operations
from app.snapshots import queries as snapshot_queries
from app.tables import Job, Run, WorkQueue
from app.training import folders, plans, queries
from app.training.plans import NewRun
from app.training.policies import can_keep_best, spread
from app.training.settings import BY_NAME, PRACTICE_ARCHITECTURE, PRACTICE_RECIPE


def launch(session: Session, actor: Actor, new: NewRun, *, confirmed: bool = False) -> list[Run]:
    """Queues a run, or one for each value of its sweep. An equal one that waits or runs is returned instead.

    `confirmed` by someone who read that a licence reaches what is made so. Raises Invalid with what speaks
    against it, by the form's fields.
    """
    plan = plans.plan(session, new)
    errors = dict(plan.errors) | plans.unconfirmed(plan, confirmed=confirmed)
    if errors:
        raise Invalid(" ".join(dict.fromkeys(errors.values())), fields=errors)
    session.execute(select(func.pg_advisory_xact_lock(LAUNCH_RUN)))  # a double click launches once
    made = [_one(session, actor, plan, new, settings.as_json()) for settings in spread(new.settings, new.swept)]
    if new.swept:
        for run in made:
            run.sweep = run.sweep or made[0].id
    session.flush()
    return made


def _one(session: Session, actor: Actor, plan: plans.Plan, new: NewRun, settings: dict[str, object]) -> Run:
    run = Run(
        snapshot_id=plan.snapshot.id if plan.snapshot else None,
        base_id=plan.base.id if plan.base else None,
        architecture="" if plan.base else new.architecture,
        recipe=new.recipe,
        settings=settings,
        note=new.note,
        like_id=new.like if new.like and session.get(Run, new.like) else None,
        report=_report(plan, new),
        made_by=actor.user_id,
    )
    if known := queries.equal_open_run(session, run):
        return known
    session.add(run)
    session.flush()
    if new.goes_on_from:
        folders.go_on(run.id, new.goes_on_from)
    run.job_id = _submit(session, actor, run).id
    details = {
        "recipe": new.recipe,
        "snapshot": new.snapshot,
        "base": plan.base.name if plan.base else new.architecture,
    }
    jobs.record(session, "run.launched", "run", run.id, user_id=actor.user_id, details=details)
    return run


def _report(plan: plans.Plan, new: NewRun) -> dict[str, object]:
    begun = {"goes_on_from": new.goes_on_from} if new.goes_on_from else {}
    return begun | ({"notes": plan.cautions} if plan.cautions else {})


def _submit(session: Session, actor: Actor, run: Run, **more: bool) -> Job:
    return jobs.submit(
        session,
        "finetune",
        WorkQueue.TRAIN,
        {"run": run.id, **more},
        unit="steps",
        dedupe=f"finetune:{run.id}",
        requested_by=actor.user_id,
    )


def practise(session: Session, actor: Actor) -> Run:
    """Launches the practice run: drawn pairs and a tiny network, so that a newcomer sees curves at once."""
    settings = BY_NAME[PRACTICE_RECIPE].settings
    (run,) = launch(session, actor, NewRun(None, None, PRACTICE_ARCHITECTURE, PRACTICE_RECIPE, settings))
    return run


def cancel(session: Session, actor: Actor, run_id: int) -> None:
    """Asks a run to stop; finished epochs are kept. Raises Conflict when it is over."""
    found = queries.shown(session, run_id)
    if not jobs.request_cancel(session, found.job.id, actor.user_id):
        raise Conflict(f"Run {run_id} is over already.", "Load the page again.")


def resume(session: Session, actor: Actor, run_id: int) -> Job:
    """Goes on from the last finished epoch. Raises Conflict unless it stopped and still has what it needs."""
    session.execute(select(func.pg_advisory_xact_lock(LAUNCH_RUN)))  # nobody deletes the checkpoints meanwhile
    found = queries.shown(session, run_id)
    _refuse_withdrawn(session, found)
    again = operations.retry(session, actor, found.job.id)
    again.arguments = {"run": run_id}  # it trains, though its last job was to make a model of what there was
    return again


def keep_best(session: Session, actor: Actor, run_id: int) -> Job:
    """Makes a model of a stopped run's best epoch. Raises Conflict where there is none, or no longer."""
    session.execute(select(func.pg_advisory_xact_lock(LAUNCH_RUN)))
    found = queries.shown(session, run_id)
    run = found.run
    if not can_keep_best(run, found.job):
        raise Conflict(f"Run {run_id} has no epoch to make a model of.", "Load the page again.")
    _refuse_withdrawn(session, found)
    job = _submit(session, actor, run, finish=True)
    job.total, job.done, job.cursor = found.job.total, found.job.done, found.job.cursor
    run.job_id = job.id
    details = {"epoch": run.best_epoch}
    jobs.record(session, "run.best_kept", "run", run_id, user_id=actor.user_id, details=details)
    return job


def go_on(session: Session, actor: Actor, run_id: int, more: int) -> Run:
    """A new run that trains `more` epochs behind a finished one's last.

    Raises Invalid for none, Conflict where the last is not kept.
    """
    if more < 1:
        raise Invalid("Give 1 or more epochs.", fields={"more": "Give 1 or more epochs."})
    session.execute(select(func.pg_advisory_xact_lock(LAUNCH_RUN)))
    found = queries.shown(session, run_id)
    done = max((epoch.epoch for epoch in queries.epochs(session, [run_id])[run_id]), default=0)
    if found.is_open or not folders.has_last(run_id) or not done:
        raise Conflict(f"Run {run_id} kept no last epoch to go on from.", "Start a new run with the same settings.")
    new = NewRun(
        snapshot=found.snapshot.number if found.snapshot else None,
        base=found.run.base_id,
        architecture=found.run.architecture,
        recipe=found.run.recipe,
        settings=replace(found.settings, epochs=done + more),
        like=run_id,
        goes_on_from=run_id,
    )
    (run,) = launch(session, actor, new, confirmed=True)  # as it was for the run that it goes on from
    return run


def _refuse_withdrawn(session: Session, found: queries.ShownRun) -> None:
    if found.snapshot and (gone := snapshot_queries.withdrawn_since(session, found.snapshot)):
        were = "pair was" if gone == 1 else "pairs were"
        said = f"{gone:,} {were} withdrawn from {found.data} since it was frozen."
        raise Conflict(said, "Freeze a new snapshot and train on that.")


def tidy(session: Session, actor: Actor, run_id: int, confirm: str) -> int:
    """Deletes what is kept to resume; the bytes that came free. Raises Invalid, Conflict while the run is open."""
    session.execute(select(func.pg_advisory_xact_lock(LAUNCH_RUN)))
    found = queries.shown(session, run_id)
    if confirm != str(run_id):
        raise Invalid(f"Type {run_id} to go on.", fields={"confirm": f"Type {run_id} to go on."})
    if found.is_open:
        raise Conflict(f"Run {run_id} still needs its checkpoints.", "Cancel it first.")
    freed = folders.tidy(run_id)
    found.run.report = found.run.report | {"tidied": True}
    jobs.record(session, "run.tidied", "run", run_id, user_id=actor.user_id, details={"bytes": freed})
    return freed
