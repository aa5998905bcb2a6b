"""What admins do with evaluation sets, wordings and evaluations. A worker's job does the reading and measuring."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import Actor
from app.advisory import LAUNCH_EVALUATION
from app.errors import Conflict, Invalid
from app.evaluation import catalogue, folders, passport, queries
from app.evaluation.matrix import Matrix
from app.evaluation.planning import Planned, Wish, gaps, licences, plan, wording_layout
from app.evaluation.policies import Task
from app.publish import publish_file
from app.tables import ClassPrompts, Evaluation, EvaluationSet, Job, JobState, WorkQueue

MOST_AT_ONCE = 500
NAME_LIMIT = 80
TEXT_LIMIT = 300
TEMPLATES_LIMIT = 100


def register_set(session: Session, actor: Actor, name: str, folder: str, layout: str = "") -> EvaluationSet:
    """Asks for a folder to be recognised and every picture in it to be decoded once. Raises Invalid."""
    chosen = folders.listed(folder)
    name = " ".join((name or chosen.name).split())[:NAME_LIMIT]
    if layout and layout not in catalogue.sets():
        raise Invalid("Choose a layout.", fields={"layout": "Choose a layout of the list, or let it be recognised."})
    row = session.execute(
        insert(EvaluationSet)
        .values(name=name, layout=layout, folder=chosen.key, made_by=actor.user_id)
        .on_conflict_do_nothing()
        .returning(EvaluationSet)
    ).scalar_one_or_none()
    if row is None:
        raise Invalid(f"There is a set named {name}.", fields={"name": f"There is a set named {name}. Choose another."})
    details = {"folder": chosen.name, "layout": layout}
    jobs.record(session, "evaluation_set.registered", "evaluation_set", row.id, user_id=actor.user_id, details=details)
    _read(session, actor, row, {"layout": layout})
    return row


def read_again(session: Session, actor: Actor, set_id: int) -> Job:
    """Asks for a set's folder to be read anew, such as after it was put right; evaluations so far keep their items."""
    row = queries.set_row(session, set_id)
    jobs.record(session, "evaluation_set.read_again", "evaluation_set", row.id, user_id=actor.user_id)
    return _read(session, actor, row, {"layout": row.layout})


def delete_set(session: Session, actor: Actor, set_id: int) -> str:
    """Forgets a set that nothing was measured on, and returns its name; its folder stays as it is. Raises Conflict."""
    session.execute(select(func.pg_advisory_xact_lock(LAUNCH_EVALUATION)))  # nobody evaluates on it meanwhile
    shown = queries.set_shown(session, set_id)
    if shown.is_busy:
        raise Conflict("This set is being read.", "Wait for it, or stop it.")
    if shown.evaluations:
        raise Conflict("Models were evaluated on this set.", "Delete those evaluations first.")
    details = {"set": shown.row.name}
    session.delete(shown.row)
    session.flush()
    folders.delete_set(set_id)
    jobs.record(session, "evaluation_set.deleted", "evaluation_set", set_id, user_id=actor.user_id, details=details)
    return shown.row.name


def _read(session: Session, actor: Actor, row: EvaluationSet, arguments: dict[str, Any]) -> Job:
    job = jobs.submit(
        session,
        "read_evaluation_set",
        WorkQueue.CPU,
        {"set": row.id} | arguments,
        unit="pictures",
        dedupe=f"read_evaluation_set:{row.id}",
        requested_by=actor.user_id,
    )
    row.job_id = job.id
    session.flush()
    return job


def go_on(session: Session, actor: Actor, set_id: int) -> None:
    """An admin has seen that a set's counts differ from the published ones, and wants it all the same."""
    shown = queries.set_shown(session, set_id)
    statement = (
        update(EvaluationSet)
        .where(EvaluationSet.id == set_id, EvaluationSet.ready_at.is_(None), EvaluationSet.items_sha256 != "")
        .values(ready_at=func.clock_timestamp(), report=shown.row.report | {"accepted_by": actor.name})
    )
    if shown.is_busy or not session.execute(statement).rowcount:  # type: ignore[attr-defined]
        raise Conflict("There is nothing to go on with.", "Look at the set's page again.")
    details = {"differences": len(shown.row.report.get("differences", []))}
    jobs.record(session, "evaluation_set.accepted", "evaluation_set", set_id, user_id=actor.user_id, details=details)


# --- wordings -----------------------------------------------------------------------------------


def add_defaults(session: Session, row: EvaluationSet, classes: Sequence[str], own: Sequence[str] = ()) -> None:
    """The wordings that the catalogue has for a set's classes, as the first versions, unless there are any.

    Protocols of others come first, with the set's `own` templates, and ours last: the newest version is what an
    evaluation takes by itself.
    """
    layout = wording_layout(row)
    if queries.newest_wording(session, layout):
        return
    presets = [*reversed(catalogue.wordings(row.layout, tuple(classes)).values())]
    worded: list[dict[str, Any]] = [
        {"names": one.names, "templates": one.templates, "note": f"{one.title}, {one.version}. {one.source}"}
        for one in presets
    ]
    short = [one for one in own if len(one) <= TEXT_LIMIT][:TEMPLATES_LIMIT]
    if short:
        worded.insert(0, {"names": presets[-1].names, "templates": short, "note": "The set's own templates."})
    for version, values in enumerate(worded, 1):
        statement = insert(ClassPrompts).values(layout=layout, version=version, **values)
        session.execute(statement.on_conflict_do_nothing())


def add_wording(
    session: Session,
    actor: Actor,
    based_on: ClassPrompts,
    names: Mapping[str, Sequence[str]],
    templates: Sequence[str],
    note: str,
) -> ClassPrompts:
    """A new version of a layout's wording. Raises Invalid for an empty prompt, a template without {}, no change."""
    fields = _wrong(based_on, names, templates)
    if fields:
        raise Invalid(" ".join(dict.fromkeys(fields.values())), fields=fields)
    session.execute(select(func.pg_advisory_xact_lock(LAUNCH_EVALUATION)))  # one number at a time
    plain = {key: list(names[key]) for key in based_on.names}
    for known in queries.wordings(session, based_on.layout):
        if known.row.names == plain and known.row.templates == list(templates):
            said = f"Version {known.row.version} says exactly this."
            raise Invalid("Nothing changed.", fields={"templates": said})
    newest = queries.newest_wording(session, based_on.layout) or based_on
    made = ClassPrompts(
        layout=based_on.layout,
        version=newest.version + 1,
        names=plain,
        templates=list(templates),
        note=note.strip()[:200],
        made_by=actor.user_id,
    )
    session.add(made)
    session.flush()
    details = {"layout": made.layout, "version": made.version}
    jobs.record(session, "wording.added", "wording", made.id, user_id=actor.user_id, details=details)
    return made


def _wrong(based_on: ClassPrompts, names: Mapping[str, Sequence[str]], templates: Sequence[str]) -> dict[str, str]:
    wrong = {f"name-{key}": f"Give {key} at least one name." for key in based_on.names if not names.get(key)}
    if not templates:
        wrong["templates"] = "Give at least one template."
    elif bad := [one for one in templates if one.count("{}") != 1 or len(one) > TEXT_LIMIT]:
        wrong["templates"] = f"A template has {{}} once, where the class stands, and is short: “{bad[0][:60]}” is not."
    elif len(templates) > TEMPLATES_LIMIT:
        wrong["templates"] = f"Use at most {TEMPLATES_LIMIT} templates."
    return wrong


# --- evaluations --------------------------------------------------------------------------------


def launch(session: Session, actor: Actor, wish: Wish, *, confirmed: bool = False) -> list[Evaluation]:
    """Starts what is missing of a wish, a job each; what is there or runs is left alone, what failed goes on.

    Raises Invalid when nothing can be started, or without `confirmed` where a licence forbids something.
    """
    session.execute(select(func.pg_advisory_xact_lock(LAUNCH_EVALUATION)))
    return _launch(session, actor, plan(session, wish), confirmed)


def fill(
    session: Session, actor: Actor, table: Matrix, only: tuple[int, str] | None, confirmed: bool
) -> list[Evaluation]:
    """Starts what is missing of a table, or `only` one place of it: a model and a column. Raises Invalid."""
    session.execute(select(func.pg_advisory_xact_lock(LAUNCH_EVALUATION)))
    missing = gaps(session, table)
    return _launch(session, actor, [one for one in missing if only is None or one.key == only], confirmed)


def _launch(session: Session, actor: Actor, planned: Sequence[Planned], confirmed: bool) -> list[Evaluation]:
    missing = [one for one in planned if one.is_gap]
    if not missing:
        raise Invalid(nothing_to_do(planned), "Choose other models, sets or tasks.")
    if len(missing) > MOST_AT_ONCE:
        raise Invalid(f"These are {len(missing)} evaluations.", f"Start at most {MOST_AT_ONCE} at once.")
    if (said := licences(missing)) and not confirmed:
        sentence = " ".join(said)
        raise Invalid(sentence, "Confirm that you know.", fields={"confirmed": f"{sentence} Tick this to go on."})
    made = [_start(session, actor, one) for one in missing]
    details = {"evaluations": len(made)} | ({"confirmed": True} if said else {})
    jobs.record(session, "evaluation.launched", "evaluation", made[0].id, user_id=actor.user_id, details=details)
    return made


def nothing_to_do(planned: Sequence[Planned]) -> str:
    """Why a wish starts nothing."""
    if not planned:
        return "Choose at least one model, one task, and a set or snapshot."
    if refused := [one.why_not for one in planned if one.why_not]:
        return refused[0]
    return "All of this is there already, or runs."


def _start(session: Session, actor: Actor, one: Planned) -> Evaluation:
    row = one.row or Evaluation(
        encoder_id=one.encoder.id,
        set_id=one.set.id if one.set else None,
        snapshot_id=one.snapshot.id if one.snapshot else None,
        task=one.task,
        prompts_id=one.wording.id if one.wording else None,
        settings=one.settings,
        settings_sha256=one.fingerprint,
        made_by=actor.user_id,
    )
    session.add(row)
    session.flush()
    if one.job:
        row.job_id = jobs.retry(session, one.job, actor.user_id).id
    else:
        job = jobs.submit(
            session,
            "evaluate",
            WorkQueue.GPU,
            {"evaluation": row.id, "task": one.task.value, "model": one.encoder.name, "on": one.on},
            unit="pairs" if one.task is Task.RETRIEVAL else "pictures",
            dedupe=f"evaluate:{row.id}",
            requested_by=actor.user_id,
        )
        row.job_id = job.id
    session.flush()
    return row


def keep_passport(file: Path) -> str:
    """Copies a passport to where a worker finds it, by its SHA-256. Raises Invalid for a file that is none."""
    with file.open("rb") as opened:
        data = opened.read(passport.MOST_PACKED + 1)
    try:
        passport.from_bytes(data)
    except passport.BadPassport as error:
        raise Invalid(str(error)) from error
    sha256 = hashlib.sha256(data).hexdigest()
    with publish_file(folders.kept_passport(sha256)) as draft:
        draft.file.write(data)
    return sha256


def replay(session: Session, actor: Actor, kept: str, root: str, weights: str) -> Job:
    """Asks for a `kept` passport to be run again on the pictures below `root`."""
    arguments = {"passport": kept, "root": root, "weights": weights}
    return jobs.submit(
        session, "replay_passport", WorkQueue.GPU, arguments, unit="pictures", requested_by=actor.user_id
    )


def again(session: Session, actor: Actor, evaluation_id: int) -> Evaluation:
    """Tries an evaluation that failed or was stopped again. Raises Conflict when it has figures or runs."""
    found = queries.evaluation(session, evaluation_id)
    if found.row.finished_at or found.job is None or found.is_open:
        raise Conflict("There is nothing to try again.", "Look at the evaluation's page again.")
    found.row.job_id = jobs.retry(session, found.job, actor.user_id).id
    session.flush()
    return found.row


def delete_features(session: Session, actor: Actor) -> int:
    """Deletes all kept features; the bytes that came free. Raises Conflict while an evaluation may be writing some."""
    kinds = ("evaluate", "replay_passport", "read_evaluation_set")
    if session.scalar(select(Job.id).where(Job.kind.in_(kinds), Job.state == JobState.RUNNING).limit(1)):
        raise Conflict("An evaluation runs, or a set is being read.", "Wait for it, or cancel it.")
    freed = folders.delete_features()
    jobs.record(session, "features.deleted", "features", "all", user_id=actor.user_id, details={"bytes": freed})
    return freed


def delete(session: Session, actor: Actor, evaluation_id: int, confirm: str) -> None:
    """Deletes an evaluation with its predictions and passport. Raises Invalid, Conflict while it waits or runs."""
    session.execute(select(func.pg_advisory_xact_lock(LAUNCH_EVALUATION)))  # nobody tries it again meanwhile
    found = queries.evaluation(session, evaluation_id)
    if confirm != str(evaluation_id):
        raise Invalid(f"Type {evaluation_id} to go on.", fields={"confirm": f"Type {evaluation_id} to go on."})
    if found.is_open:
        raise Conflict("This evaluation waits or runs.", "Cancel it first.")
    details = {"model": found.encoder.name, "on": found.on, "task": found.row.task.value}
    session.delete(found.row)
    session.flush()
    folders.delete(evaluation_id)
    jobs.record(session, "evaluation.deleted", "evaluation", evaluation_id, user_id=actor.user_id, details=details)
