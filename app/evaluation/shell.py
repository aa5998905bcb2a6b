"""`ipath evaluate` and `ipath evaluation-set`: the forms of the evaluation pages, from the shell."""

from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from app import serving
from app.accounts.policies import SYSTEM
from app.db import transaction
from app.errors import Invalid
from app.evaluation.policies import TITLES, Precision, Preset, Task
from app.following import follow
from app.shell import AsJson, err, fail, finished, show
from app.tables import Job, JobState, WorkQueue

Names = list[str] | None
Confirmed = Annotated[bool, typer.Option("--confirm-licence", help="You know what the licences forbid.")]
TASKS = ", ".join(task.value.replace("_", "-") for task in Task)


def evaluate(
    models: Annotated[Names, typer.Option("--model", help="A registered model, by its name. Again for more.")] = None,
    sets: Annotated[Names, typer.Option("--set", help="A set that is ready, by its name. Again for more.")] = None,
    snapshots: Annotated[list[int] | None, typer.Option("--snapshot", min=1, help="A snapshot, for retrieval.")] = None,
    tasks: Annotated[Names, typer.Option("--task", help=f"One of {TASKS}. Again for more.")] = None,
    variant: Annotated[str, typer.Option(help="Which splits of a set; empty: its default.")] = "",
    wording: Annotated[int, typer.Option(min=0, help="Version of the prompts; 0: the newest.")] = 0,
    preset: Annotated[Preset, typer.Option(help="Whose linear probe.")] = Preset.OURS,
    ks: Annotated[list[int] | None, typer.Option("--k", min=1, help="Few-shot: pictures a class.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=50, help="Few-shot: draws.")] = 5,
    splits: Annotated[Names, typer.Option("--split", help="Retrieval: test, val, or both.")] = None,
    precision: Annotated[Precision, typer.Option(help="fp32 is nearly the same on every machine.")] = Precision.FP32,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    confirmed: Confirmed = False,
    passport: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Run this again here.")] = None,
    root: Annotated[Path | None, typer.Option(exists=True, file_okay=False, help="Its pictures.")] = None,
    weights: Annotated[Path | None, typer.Option(exists=True, help="Its model's weights.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure models on sets, or run a passport again and say whether the predictions are the same."""
    if passport:
        _replay(passport, root, weights, as_json)
        return
    sent: dict[str, Any] = {"variant": variant, "wording": wording, "preset": preset, "seeds": seeds}
    sent |= {"precision": precision, "seed": seed, "confirmed": confirmed}
    sent |= {name: given for name, given in (("k", ks), ("split", splits)) if given}
    with serving.running(WorkQueue.GPU) as own:
        with transaction() as session:
            made, there = _launched(session, sent, models or [], sets or [], snapshots or [], tasks or [])
        ends = {id_: follow(job_id, err, own, quiet=as_json) for id_, job_id in made}
        _tell(there, ends, as_json)


def _launched(
    session: Session, sent: dict[str, Any], models: list[str], sets: list[str], snapshots: list[int], tasks: list[str]
) -> tuple[list[tuple[int, int]], list[int]]:
    """(Evaluation, its job) of what was started, and the evaluations that were there. Raises Invalid."""
    from starlette.datastructures import FormData

    from app.evaluation import actions, planning, queries
    from app.evaluation.forms import WishForm
    from app.web.deps import parse

    built = {one.number: one.id for one in queries.snapshots(session)}
    if missing := [number for number in snapshots if number not in built]:
        raise Invalid(f"There is no written snapshot v{missing[0]:04d}.")
    pairs: list[tuple[str, str]] = [("model", str(queries.model_named(session, name).id)) for name in models]
    pairs += [("set", str(queries.set_named(session, name).id)) for name in sets]
    pairs += [("snapshot", str(built[number])) for number in snapshots]
    pairs += [("task", task.replace("-", "_")) for task in tasks]
    pairs += [
        (name, str(one)) for name, given in sent.items() for one in (given if isinstance(given, list) else [given])
    ]
    form = parse(WishForm, FormData([(name, value) for name, value in pairs]))
    planned = planning.plan(session, form.wish())
    there = [one.row.id for one in planned if one.row and one.is_done]
    if there and not any(one.is_gap for one in planned):
        return [], there
    made = actions.launch(session, SYSTEM, form.wish(), confirmed=form.confirmed)
    return [(row.id, row.job_id or 0) for row in made], there


def _tell(there: list[int], ends: dict[int, Job], as_json: bool) -> None:
    """Prints the figures of what is `there` and of the jobs that ended well; exit code 1 when one did not."""
    from app.evaluation import metrics, queries, shown

    failed = {id_: job.error or "It was cancelled." for id_, job in ends.items() if job.state is not JobState.SUCCEEDED}
    facts, lines = [], []
    with transaction() as session:
        for id_ in [one for one in ends if one not in failed] + there:
            found = queries.evaluation(session, id_)
            head = shown.headline(found.row.task, found.row.metrics)
            facts.append({"evaluation": id_, "model": found.encoder.name, "on": found.on, "figures": dict(head)})
            said = ", ".join(f"{metrics.name(key)} {metrics.written(key, figure['value'])}" for key, figure in head)
            lines.append(f"Evaluation {id_}, {found.title}, {TITLES[found.row.task].lower()}: {said}.")
        for id_, why in failed.items():
            found = queries.evaluation(session, id_)
            lines.append(f"Evaluation {id_}, {found.title}, {TITLES[found.row.task].lower()} has no figures: {why}")
    show({"evaluations": facts, "failed": failed}, as_json, "\n".join(lines))
    if failed:
        raise SystemExit(1)


def _replay(passport: Path, root: Path | None, weights: Path | None, as_json: bool) -> None:
    """Prints which inputs differ; exit code 1 when a prediction does, or can't be made here again."""
    from app.evaluation import actions

    kept = actions.keep_passport(passport)
    with serving.running(WorkQueue.GPU) as own:
        with transaction() as session:
            given = str(root.resolve()) if root else ""
            file = str(weights.resolve()) if weights else ""
            job_id = actions.replay(session, SYSTEM, kept, given, file).id
        result = finished(job_id, as_json, own).cursor
    lines = [f"Differs: {one}" for one in result["differences"]]
    verdict = "The same predictions" if result["same"] == result["of"] else "Other predictions"
    lines.append(f"{verdict}: {result['same']} of {result['of']} are the same.")
    show(result, as_json, "\n".join(lines))
    if result["same"] != result["of"]:
        raise SystemExit(1)


def evaluation_set(
    folder: Annotated[str, typer.Argument(help="The name of a folder that lies directly in an evaluation root.")],
    name: Annotated[str, typer.Option(help="What to call it; empty: as its folder.")] = "",
    layout: Annotated[str, typer.Option(help="Its layout; empty: recognise it.")] = "",
    go_on: Annotated[bool, typer.Option("--go-on", help="Use it though its counts differ from the published.")] = False,
    as_json: AsJson = False,
) -> None:
    """Register an evaluation set, and decode every picture in it once."""
    from app.evaluation import actions, folders, queries

    key = next((one.key for one in folders.folders() if one.name == folder), "")
    if not key:
        there = ", ".join(one.name for one in folders.folders()) or "none"
        fail(f"There is no folder {folder} in an evaluation root. There are: {there}.")
    with serving.running(WorkQueue.CPU) as own:
        with transaction() as session:
            row = actions.register_set(session, SYSTEM, name, key, layout)
            set_id, job_id = row.id, row.job_id or 0
        finished(job_id, as_json, own)
        with transaction() as session:
            if go_on and queries.set_row(session, set_id).ready_at is None:
                actions.go_on(session, SYSTEM, set_id)
            row = queries.set_row(session, set_id)
    report = row.report
    facts = {"set": set_id, "layout": row.layout, "pictures": report["pictures"], "ready": row.ready_at is not None}
    facts |= {"differences": report["differences"], "skipped": report["skipped"]["count"]}
    ready = "It is ready." if row.ready_at else "Its counts differ from the published ones; look, then use --go-on."
    text = [f"{row.name}: {row.layout}, {report['pictures']:,} pictures. {ready}", *report["differences"][:10]]
    show(facts, as_json, "\n".join(text))
