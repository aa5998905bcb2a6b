"""Models × sets × tasks, told apart into what is there, what is to be done, and what can't be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.orm import Session

from app import jobs
from app.evaluation import catalogue, pools, queries
from app.evaluation.matrix import Column, Matrix
from app.evaluation.policies import Settings, Task, fingerprint, settings_of, stored, why_not
from app.tables import ClassPrompts, Encoder, Evaluation, EvaluationSet, Job, Snapshot


@dataclass(frozen=True)
class Wish:
    """What someone ticked: ids of models, sets and snapshots, and tasks."""

    models: Sequence[int]
    sets: Sequence[int]
    snapshots: Sequence[int]
    tasks: Sequence[Task]
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class Planned:
    """One evaluation that was asked for. `why_not` says why it can't be; `row` is there if it was asked for before."""

    encoder: Encoder
    task: Task
    set: EvaluationSet | None
    snapshot: Snapshot | None
    settings: dict[str, Any]
    wording: ClassPrompts | None
    why_not: str
    row: Evaluation | None = None
    job: Job | None = None

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.task, self.settings)

    @property
    def key(self) -> tuple[int, str]:
        return self.encoder.id, self.fingerprint

    @property
    def on(self) -> str:
        return self.set.name if self.set else f"v{self.snapshot.number:04d}" if self.snapshot else ""

    @property
    def is_done(self) -> bool:
        return self.row is not None and self.row.finished_at is not None

    @property
    def is_open(self) -> bool:
        return self.row is not None and not self.is_done and self.job is not None and self.job.state in jobs.OPEN

    @property
    def is_gap(self) -> bool:
        return not (self.why_not or self.is_done or self.is_open)


def plan(session: Session, wish: Wish) -> list[Planned]:
    """Everything that was ticked, once each, in the order of sets, tasks and models."""
    encoders = [one for one in queries.models(session) if one.id in wish.models]
    sets = [one for one in queries.ready_sets(session) if one.id in wish.sets]
    snapshots = [one for one in queries.snapshots(session) if one.id in wish.snapshots]
    made = [one for chosen in sets for one in _on_set(session, chosen, encoders, wish)]
    if Task.RETRIEVAL in wish.tasks:
        made += [one for chosen in snapshots for one in _on_snapshot(session, chosen, encoders, wish)]
    known = queries.existing(session, [one.key for one in made])
    return [replace(one, row=known[one.key][0], job=known[one.key][1]) if one.key in known else one for one in made]


def _on_set(session: Session, chosen: EvaluationSet, encoders: Sequence[Encoder], wish: Wish) -> Iterator[Planned]:
    report = chosen.report
    variant = wish.settings.variant if wish.settings.variant in report["variants"] else report["default_variant"]
    shape = report["variants"][variant]
    wording = queries.newest_wording(session, wording_layout(chosen), wish.settings.wording)
    of_pairs = catalogue.known(chosen.layout).of_pairs
    for task in (task for task in Task if task in wish.tasks and (of_pairs or task is not Task.RETRIEVAL)):
        settings = replace(wish.settings, variant=variant, splits=(), wording=wording.version if wording else 0)
        kept = stored(task, settings, chosen.id, chosen.items_sha256, wording.id if wording else None)
        for encoder in encoders:
            why = why_not(task, encoder.kind, shape, settings.ks, model=encoder.name)
            if task is Task.ZERO_SHOT and wording is None and not why:
                why = f"The classes of {chosen.name} have no wording of that version."
            yield Planned(encoder, task, chosen, None, kept, wording if task is Task.ZERO_SHOT else None, why)


def _on_snapshot(session: Session, chosen: Snapshot, encoders: Sequence[Encoder], wish: Wish) -> Iterator[Planned]:
    name = f"v{chosen.number:04d}"
    pairs, pool = pools.pool(session, chosen.id, wish.settings.splits)
    kept = stored(Task.RETRIEVAL, replace(wish.settings, variant=""), chosen.id, pool)
    for encoder in encoders:
        why = why_not(Task.RETRIEVAL, encoder.kind, None, model=encoder.name)
        if pairs < 2 and not why:
            why = (
                f"{name} has {pairs} held-out pair{'' if pairs == 1 else 's'} in {' and '.join(wish.settings.splits)}."
            )
        yield Planned(encoder, Task.RETRIEVAL, None, chosen, kept, None, why)


def gaps(session: Session, table: Matrix) -> list[Planned]:
    """What is missing of a table: each of its models under each of its columns, as far as it can be measured.

    Only columns of a set's items as they are now can be filled.
    """
    missing = []
    for at, column in enumerate(table.columns):
        cells = {row.encoder_id: row.cells[at] for row in table.rows}
        models = [encoder_id for encoder_id, cell in cells.items() if cell is None or not cell.is_there]
        if not models:
            continue
        wish = _wish_of(session, table.task, column, models)
        missing += [one for one in plan(session, wish) if one.is_gap and one.fingerprint == column.key]
    return missing


def _wish_of(session: Session, task: Task, column: Column, models: Sequence[int]) -> Wish:
    settings = settings_of(task, column.settings)
    if column.set_id is not None:
        return Wish(models, [column.set_id], [], [task], settings)
    numbers = {f"v{one.number:04d}": one.id for one in queries.snapshots(session)}
    return Wish(models, [], [numbers[column.on]] if column.on in numbers else [], [task], settings)


def wording_layout(chosen: EvaluationSet) -> str:
    """What a set's wordings are filed under: its layout, or the set itself where its classes are its own."""
    return chosen.layout if catalogue.known(chosen.layout).classes else f"{chosen.layout}: {chosen.name} ({chosen.id})"


def licences(planned: Sequence[Planned]) -> list[str]:
    """What the licences of the chosen sets and models forbid, a sentence each."""
    return list(dict.fromkeys(said for one in planned for said in forbidden(one.encoder, one.set)))


def forbidden(encoder: Encoder, chosen: EvaluationSet | None) -> Iterator[str]:
    """What the licence of a set and that of a model forbid."""
    if chosen and (forbids := catalogue.known(chosen.layout).forbids):
        yield f"{chosen.name}: {forbids}"
    if encoder.reaches_data:
        yield f"{encoder.name}: {encoder.licence or 'its licence'} forbids to pass on what is made with it."
