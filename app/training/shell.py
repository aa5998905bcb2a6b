"""`ipath train`: the form of the training pages, from the shell."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sqlalchemy.orm import Session

from app import serving
from app.accounts.policies import SYSTEM
from app.db import transaction
from app.errors import Invalid, NotFound
from app.shell import AsJson, fail, finished, show
from app.tables import WorkQueue
from app.training.settings import BY_NAME, PRACTICE_ARCHITECTURE, PRACTICE_RECIPE
from app.web.filters import bytes_size, duration, percent

if TYPE_CHECKING:  # what the other commands of the shell need not load
    from app.training.plans import NewRun, Plan

Confirmed = Annotated[bool, typer.Option("--confirm-licence", help="You know that a licence reaches what is made.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what it would take and the command; start nothing.")]


def train(
    snapshot: Annotated[int, typer.Option(min=0, help="The snapshot's number.")] = 0,
    practice: Annotated[bool, typer.Option("--practice", help="Train on drawn pictures instead.")] = False,
    base: Annotated[str, typer.Option(help="The registered model to start from, by its name.")] = "",
    from_scratch: Annotated[str, typer.Option(help="Random weights of a network of open_clip, or a config.")] = "",
    recipe: Annotated[str, typer.Option(help=f"What fills in the settings: {', '.join(BY_NAME)}.")] = "",
    given: Annotated[list[str] | None, typer.Option("--set", help="A setting: epochs=5. Again for more.")] = None,
    swept: Annotated[str, typer.Option("--sweep", help="A run for each value: learning_rate=1e-6,1e-5.")] = "",
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
    confirmed: Confirmed = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune CLIP on a snapshot; the best epoch becomes a model. `ipath train --practice` shows how it goes."""
    from app.training import actions, plans

    network = from_scratch or (PRACTICE_ARCHITECTURE if practice and not base else "")
    if bool(snapshot) == practice or bool(base) == bool(network):
        fail("Name --snapshot and --base or --from-scratch, or take --practice.")
    field, _, values = swept.partition("=")
    asked = {"snapshot": str(snapshot or ""), "architecture": network, "note": note}
    asked |= {"recipe": recipe or ("ip-clip" if base else PRACTICE_RECIPE), "sweep_field": field}
    with serving.running(None if dry_run else WorkQueue.TRAIN) as own:
        with transaction() as session:
            new = _new(session, asked | {"sweep_values": values}, base, given or [])
            if dry_run:
                _expect(plan := plans.plan(session, new), plans.unconfirmed(plan, confirmed=confirmed), as_json)
                return
            made = [(run.id, run.job_id) for run in actions.launch(session, SYSTEM, new, confirmed=confirmed)]
        for _, job_id in made:
            finished(job_id or 0, as_json, own)
        _tell([run_id for run_id, _ in made], as_json)


def _new(session: Session, asked: dict[str, str], base: str, given: list[str]) -> "NewRun":
    """The form as a browser would send it. Raises Invalid, NotFound."""
    from starlette.datastructures import FormData

    from app.training import pages
    from app.training.forms import RunForm, filled
    from app.web.deps import parse

    chosen = BY_NAME.get(asked["recipe"])
    if chosen is None:
        raise Invalid(f"There is no recipe {asked['recipe']}.", f"There are: {', '.join(BY_NAME)}.")
    values = asked | filled(pages.fitted(session, chosen.settings, asked["snapshot"]))
    for pair in given:
        name, equals, value = pair.partition("=")
        if name not in chosen.settings.as_json() or not equals:
            known = ", ".join(chosen.settings.as_json())
            raise Invalid(f"{pair} is no setting.", f"Write name=value; the names are {known}.")
        values[name] = value
    return parse(RunForm, FormData(values | {"base": _base(session, base)})).new()


def _base(session: Session, name: str) -> str:
    """The id of a model by its name, as a form sends it. Raises NotFound."""
    from app.training import queries

    if not name:
        return ""
    bases = {base.name: str(base.id) for base in queries.bases(session)}
    if name not in bases:
        there = f"There are: {', '.join(bases)}. " if bases else ""
        another = f"`ipath encoder add` registers {'another' if bases else 'one'}. For this one: {_registering(name)}"
        raise NotFound(f"There is no model named {name}.", there + another)
    return bases[name]


def _registering(name: str) -> str:
    """What registers a model under the name that it has elsewhere: a file's, a hub's, or open_clip's with a tag."""
    from app.encoders.actions import NewEncoder
    from app.encoders.policies import CHECKPOINTS, FOLDER, command
    from app.training.architectures import config_path

    model, _, tag = name.partition("/")
    if name.endswith(CHECKPOINTS):
        new = NewEncoder("open_clip", "MODEL", checkpoint=name, name=name)
    elif name.startswith(("hf-hub:", FOLDER)):
        new = NewEncoder("open_clip", name, name=name)
    elif tag and config_path(model) is None:
        new = NewEncoder("open_clip", f"hf-hub:{name}", name=name)
    else:
        new = NewEncoder("open_clip", model, pretrained=tag or "TAG", name=name)
    return command(**asdict(new))


def _expect(plan: "Plan", unconfirmed: dict[str, str], as_json: bool) -> None:
    """Prints the estimate and the command; exit code 1 when something speaks against the run."""
    problems = dict(plan.errors) | unconfirmed
    figures = plan.estimate
    share = plan.beyond["share"] if plan.beyond else None
    facts: dict[str, Any] = {
        "runs": plan.runs,
        "pairs": plan.data.train_pairs,
        "steps": figures.steps,
        "steps_per_epoch": figures.steps_per_epoch,
        "seconds": figures.seconds,
        "memory": figures.memory,
        "disk": figures.disk,
        "beyond_context": share,
        "command": plan.command,
        "cautions": plan.cautions,
        "problems": problems,
    }
    lines = [
        f"{figures.steps:,} steps, {figures.steps_per_epoch:,} an epoch, on {plan.data.train_pairs:,} pairs",
        f"Time: {duration(figures.seconds) if figures.seconds else 'unknown until the first steps'}",
        f"Memory: about {bytes_size(figures.memory)}; disk: up to {bytes_size(figures.disk)}",
        f"Captions beyond what the model reads: {percent(share, 1)}",
        plan.command,
        *plan.cautions,
        *problems.values(),
    ]
    show(facts, as_json, "\n".join(lines))
    if problems:
        raise SystemExit(1)


def _tell(run_ids: list[int], as_json: bool) -> None:
    from app.training import queries
    from app.training.policies import recall

    with transaction() as session:
        shown = queries.several(session, run_ids)
        validated = queries.epochs(session, run_ids)
    facts, lines = [], []
    for one in shown:
        best = next((row.metrics for row in validated[one.run.id] if row.epoch == one.run.best_epoch), {})
        model = one.model.name if one.model else None
        facts.append({"run": one.run.id, "best_epoch": one.run.best_epoch, "recall": recall(best), "model": model})
        lines.append(f"Run {one.run.id}: epoch {one.run.best_epoch} is best, R@10 {percent(recall(best), 1)}: {model}.")
    show({"runs": facts}, as_json, "\n".join(lines))
