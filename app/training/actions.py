"""What admins do with runs: launch, cancel, resume, tidy. A worker's job does the work."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import Actor
from app.errors import Conflict, Invalid
from app.operations import actions as operations
from app.snapshots import queries as snapshot_queries
from app.tables import Job, Run, WorkQueue
from app.training import folders, plans, queries
from app.training.plans import NewRun
from app.training.policies import spread
from app.training.settings import BY_NAME, PRACTICE_ARCHITECTURE, PRACTICE_RECIPE

LAUNCH_LOCK = 20423


def launch(session: Session, actor: Actor, new: NewRun, *, confirmed: bool = False) -> list[Run]:
    """Queues a run, or one for each value of its sweep. An equal one that waits or runs is returned instead.

    `confirmed` by someone who read that the base's licence reaches the data. Raises Invalid with what speaks
    against it, by the form's fields.
    """
    plan = plans.plan(session, new)
    errors = dict(plan.errors) | plans.unconfirmed(plan.base, confirmed=confirmed)
    if errors:
        raise Invalid(" ".join(dict.fromkeys(errors.values())), fields=errors)
    session.execute(select(func.pg_advisory_xact_lock(LAUNCH_LOCK)))  # a double click launches once
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
        made_by=actor.user_id,
    )
    if known := queries.equal_open_run(session, run):
        return known
    session.add(run)
    session.flush()
    run.job_id = _submit(session, actor, run).id
    details = {
        "recipe": new.recipe,
        "snapshot": new.snapshot,
        "base": plan.base.name if plan.base else new.architecture,
    }
    jobs.record(session, "run.launched", "run", run.id, user_id=actor.user_id, details=details)
    return run


def _submit(session: Session, actor: Actor, run: Run) -> Job:
    return jobs.submit(
        session,
        "finetune",
        WorkQueue.TRAIN,
        {"run": run.id},
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
    """Goes on from the last finished epoch. Raises Conflict unless it stopped, or when pairs were withdrawn since."""
    found = queries.shown(session, run_id)
    if found.snapshot and (gone := snapshot_queries.withdrawn_since(session, found.snapshot)):
        were = "pair was" if gone == 1 else "pairs were"
        said = f"{gone:,} {were} withdrawn from {found.data} since it was frozen."
        raise Conflict(said, "Freeze a new snapshot and train on that.")
    return operations.retry(session, actor, found.job.id)


def tidy(session: Session, actor: Actor, run_id: int, confirm: str) -> int:
    """Deletes what is kept to resume; the bytes that came free. Raises Invalid, Conflict while the run is open."""
    session.execute(select(func.pg_advisory_xact_lock(LAUNCH_LOCK)))
    found = queries.shown(session, run_id)
    if confirm != str(run_id):
        raise Invalid(f"Type {run_id} to go on.", fields={"confirm": f"Type {run_id} to go on."})
    if found.is_open:
        raise Conflict(f"Run {run_id} still needs its checkpoints.", "Cancel it first.")
    freed = folders.tidy(run_id)
    jobs.record(session, "run.tidied", "run", run_id, user_id=actor.user_id, details={"bytes": freed})
    return freed
