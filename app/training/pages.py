"""The contexts of the training pages, put together from the queries."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session
from starlette.datastructures import FormData, QueryParams

from app import presence
from app.encoders.policies import REACH
from app.errors import Invalid
from app.operations.policies import may_retry
from app.snapshots import queries as snapshot_queries
from app.tables import JobState, RunEpoch, Weights
from app.training import architectures, comparing, folders, plans, policies, queries
from app.training.comparing import Compared
from app.training.forms import RunForm, filled
from app.training.policies import LOSS, recall
from app.training.settings import BY_NAME, EXPLAINED, PRACTICE_TRAIN_PAIRS, RECIPES, TrainingSettings, title_of
from app.web.deps import parse
from app.web.filters import duration


@dataclass(frozen=True)
class Line:
    """A run of the list: its validation losses, the best epoch's figures, and its time."""

    shown: queries.ShownRun
    losses: list[float]
    best: RunEpoch | None
    seconds: float | None
    left: float | None

    @property
    def recall(self) -> float | None:
        return recall(self.best.metrics) if self.best else None


def listed(session: Session, before: int | None) -> dict[str, Any]:
    found = queries.newest(session, before)
    shown = found[: queries.PAGE]
    validated = queries.epochs(session, [one.run.id for one in shown])
    return {
        "lines": [_line(session, one, validated[one.run.id]) for one in shown],
        "older": shown[-1].run.id if len(found) > queries.PAGE else None,
        "is_live": any(one.is_open for one in shown),
        "can_train": bool(queries.snapshots(session)),
        "unserved": unserved(session),
    }


def _line(session: Session, shown: queries.ShownRun, epochs: list[RunEpoch]) -> Line:
    losses = [epoch.metrics[LOSS] for epoch in epochs if LOSS in epoch.metrics]
    best = next((epoch for epoch in epochs if epoch.epoch == shown.run.best_epoch), None)
    pace = queries.pace(session, shown.run) if shown.job.state is JobState.RUNNING else None
    return Line(shown, losses, best, Compared(shown, epochs, None).seconds, time_left(shown, pace))


def time_left(shown: queries.ShownRun, pace: float | None) -> float | None:
    """Seconds to the last step, at so many seconds a step as the last ones took."""
    if shown.job.state is not JobState.RUNNING or not shown.job.total or not pace:
        return None
    return pace * (shown.job.total - shown.job.done)


def unserved(session: Session) -> str:
    """The queue's name while no worker serves it."""
    return "" if "train" in presence.served_queues(session) else "train"


# --- one run ------------------------------------------------------------------------------------


def one(session: Session, run_id: int) -> dict[str, Any]:
    """`cancel` and `error` are those of a page that nothing was asked of yet."""
    shown = queries.shown(session, run_id)
    run, job = shown.run, shown.job
    epochs = queries.epochs(session, [run_id])[run_id]
    last, pace = queries.last_step(session, run), queries.pace(session, run)
    left = time_left(shown, pace)
    return {
        "shown": shown,
        "run": run,
        "job": job,
        "epochs": epochs,
        "best": next((epoch for epoch in epochs if epoch.epoch == run.best_epoch), None),
        "last": last,
        "left": left,
        "ends_at": datetime.now(UTC) + timedelta(seconds=left) if left else None,
        "memory": (run.report.get("memory") or (last and last.memory), run.report.get("gpu_memory")),
        "loss_of_cancelling": loss_of_cancelling(shown, pace),
        "checkpoints": folders.checkpoints(run_id),
        "log": folders.last_lines(run_id),
        "command": shlex.join(["python", *run.command]) if run.command else "",
        "ahead": queries.ahead(session, run.id) if job.state is JobState.QUEUED else [],
        "unserved": unserved(session) if job.state is JobState.QUEUED else "",
        "swept": queries.swept_with(session, run),
        "other": queries.last_done(session, run),
        "withdrawn": snapshot_queries.withdrawn_since(session, shown.snapshot) if shown.snapshot else 0,
        "may_resume": may_retry(job) and not policies.is_tidied(run),
        "can_keep_best": policies.can_keep_best(run, job),
        "can_go_on": job.state is JobState.SUCCEEDED and bool(epochs) and folders.has_last(run_id),
        "error": None,
        "cancel": False,
        "fields": _shown_settings(shown.settings),
        "recipe": title_of(run.recipe),
        "changed": policies.changed_in(run.recipe, shown.settings),
        "recalls": policies.RECALLS,
        "loss_name": LOSS,
        "recall": recall,
    }


def loss_of_cancelling(shown: queries.ShownRun, pace: float | None) -> str:
    """What a cancel now would lose, and what it leaves, in words. An epoch is kept once its checkpoint is saved."""
    job, per_epoch = shown.job, shown.steps_per_epoch
    if not per_epoch:
        return "It has not begun, so nothing is lost."
    saved = int(job.cursor.get("saved", job.done // per_epoch))
    if shown.run.encoder_id or "finish" in job.arguments or saved >= shown.settings.epochs:
        return "Training is done; only measuring is lost. Resuming measures it."
    kept = f"Epoch {saved} is kept; resuming goes on from there."
    left = kept if saved else "No epoch is saved yet, so it would start from the beginning."
    steps = job.done - saved * per_epoch
    if steps <= 0:
        return left
    are = "step of epoch {} is lost" if steps == 1 else "steps of epoch {} are lost"
    work = f", about {duration(pace * steps)} of work" if pace else ""
    return f"{steps:,} {are.format(saved + 1)}{work}. {left}"


def _shown_settings(settings: TrainingSettings) -> list[tuple[str, str]]:
    """The main settings and whatever differs from its default, in words."""
    values, usual = settings.as_json(), TrainingSettings().as_json()
    names = (*policies.MAIN, *(name for name in policies.changed(values, usual) if name not in policies.MAIN))
    return [(policies.LABELS[name], policies.words(values[name], name)) for name in names]


# --- a new run ----------------------------------------------------------------------------------


def start_values(session: Session, asked: QueryParams) -> tuple[dict[str, Any], bool]:
    """What the form is filled with, and whether someone typed it: else from a recipe, another run, or the defaults."""
    typed = dict(asked)
    if recipe := BY_NAME.get(typed.get("recipe", "")) if "fill" in typed else None:
        boxes = {name for name, value in recipe.settings.as_json().items() if value is False}
        kept = {name: value for name, value in typed.items() if name not in boxes}
        kept |= {"base": ""} if recipe.from_scratch else {}
        return kept | filled(fitted(session, recipe.settings, typed.get("snapshot", ""))), False
    if "epochs" in typed:
        return typed, True
    like = typed.get("like", "")
    if like.isdecimal() and len(like) < 19:
        return _like(session, int(like), with_offer="offer" in typed), False
    return _usual(session, typed.get("base", "")), False


def _usual(session: Session, asked: str) -> dict[str, Any]:
    """The newest snapshot, and the model whose id was `asked` for; else the newest whose licence reaches nothing."""
    snapshots, bases = queries.snapshots(session), queries.bases(session)
    trained = [base for base in bases if base.weights is Weights.TRAINED and not base.reaches_data]
    base = next((base for base in bases if str(base.id) == asked), trained[0] if trained else None)
    recipe = "ip-clip" if base and base.weights is Weights.TRAINED else "scratch"
    snapshot = str(snapshots[0].number) if snapshots else ""
    return {
        "snapshot": snapshot,
        "base": str(base.id) if base else "",
        "architecture": architectures.SUGGESTED[0],
        "recipe": recipe,
    } | filled(fitted(session, BY_NAME[recipe].settings, snapshot))


def fitted(session: Session, settings: TrainingSettings, number: str) -> TrainingSettings:
    """A recipe for the pairs that the snapshot of that number has."""
    chosen = next((one for one in queries.snapshots(session) if str(one.number) == number), None)
    return policies.fitted(settings, chosen.report["counts"]["train"] if chosen else PRACTICE_TRAIN_PAIRS)


def _like(session: Session, run_id: int, *, with_offer: bool) -> dict[str, Any]:
    """Another run's values; `with_offer` with what its failure proposed."""
    shown = queries.shown(session, run_id)
    run = shown.run
    settings = run.settings | (run.report.get("offer") or {} if with_offer else {})
    return {
        "snapshot": str(shown.snapshot.number) if shown.snapshot else "",
        "base": str(run.base_id or ""),
        "architecture": run.architecture or architectures.SUGGESTED[0],
        "recipe": run.recipe,
        "note": run.note,
        "like": str(run.id),
    } | filled(TrainingSettings.from_json(settings))


def form(session: Session, values: Mapping[str, Any], refused: Invalid | None = None) -> dict[str, Any]:
    """The form with what was typed, what to expect of it, and what speaks against it."""
    plan, errors = None, {}
    try:
        plan = plans.plan(session, parse(RunForm, FormData(values)).new())
        errors = dict(plan.errors)
    except Invalid as invalid:
        errors = invalid.fields or {"": invalid.message}
    if refused:
        errors = errors | refused.fields
    bases = queries.bases(session)
    return {
        "values": values,
        "plan": plan,
        "errors": errors,
        "snapshots": [snapshot_queries.as_row(snapshot) for snapshot in queries.snapshots(session)],
        "bases": bases,
        "recipes": RECIPES,
        "recipe": BY_NAME.get(str(values.get("recipe", "")), RECIPES[0]),
        "architectures": architectures.SUGGESTED,
        "labels": policies.LABELS,
        "choices": {name: [(one, policies.words(one)) for one in some] for name, some in policies.CHOICES.items()},
        "explained": EXPLAINED,
        "groups": (policies.MAIN, policies.LOSS_AND_TOWERS, policies.KEPT, policies.RARE),
        "swept": [(name, policies.LABELS[name]) for name in policies.SWEPT],
        "boxes": {name for name, value in TrainingSettings().as_json().items() if isinstance(value, bool)},
        "reach": REACH,
        "unserved": unserved(session),
    }


# --- side by side -------------------------------------------------------------------------------


def side_by_side(session: Session, run_ids: Sequence[int], *, every: bool) -> dict[str, Any]:
    """`every` row, or only those that differ."""
    found = compared(session, run_ids)
    rows = comparing.rows(found)
    others = [one for one in queries.newest(session) if one.run.id not in {one.shown.run.id for one in found}]
    return {
        "runs": found,
        "rows": [row for row in rows if every or row.differs or len(found) < 2],
        "every": every,
        "told": comparing.told(found),
        "epochs": sorted({epoch.epoch for one in found for epoch in one.epochs}),
        "others": others if len(found) < comparing.MOST else [],
        "difference": _snapshots_differ(session, found),
        "recall": recall,
        "recalls": policies.RECALLS,
        "loss_name": LOSS,
    }


def _snapshots_differ(session: Session, found: Sequence[Compared]) -> snapshot_queries.Difference | None:
    """The first run's snapshot against the second's, where two runs have different ones."""
    snapshots = [one.shown.snapshot for one in found[:2]]
    if len(found) != 2 or None in snapshots or snapshots[0] is snapshots[1]:
        return None
    newer, older = snapshots
    return snapshot_queries.difference_from(session, newer, older) if newer and older else None


def compared(session: Session, run_ids: Sequence[int]) -> list[Compared]:
    found = queries.several(session, list(run_ids)[: comparing.MOST])
    validated = queries.epochs(session, [one.run.id for one in found])
    return [Compared(one, validated[one.run.id], queries.speed(session, one.run.id)) for one in found]
