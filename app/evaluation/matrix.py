"""Models × sets as a heat table: figures, intervals, chance, what differs from a baseline by more than chance. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app import jobs
from app.evaluation import catalogue, metrics
from app.evaluation.policies import BOOTSTRAP, DRAWS, Task, protocol
from app.evaluation.queries import Measured
from app.tables import EvaluationSet

SHADES = 6
ALPHA = 0.05


@dataclass(frozen=True)
class Column:
    """One set (or snapshot) under one protocol: what stands in it is comparable. `marks` say what of it is not as
    published."""

    key: str
    on: str
    set_id: int | None
    settings: dict[str, Any]
    protocol: str
    chance: float | None = None
    n: int = 0
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """A model against the baseline on the same items: 95 % interval, and p after Holm over the sets of the table."""

    value: float
    low: float
    high: float
    p: float
    is_sure: bool
    test: str


@dataclass(frozen=True)
class Cell:
    measured: Measured
    value: float | None
    low: float | None
    high: float | None
    shade: int = 0
    is_best: bool = False
    difference: Difference | None = None

    @property
    def is_open(self) -> bool:
        """Its job waits or runs."""
        return not self.measured.is_finished and self.measured.state in jobs.OPEN

    @property
    def is_there(self) -> bool:
        """It has figures, or a job that will bring them."""
        return self.measured.is_finished or self.is_open


@dataclass(frozen=True)
class Row:
    encoder_id: int
    model: str
    is_random: bool
    is_baseline: bool
    cells: list[Cell | None]
    mean: float | None


@dataclass(frozen=True)
class Matrix:
    """`gaps` are the (column, model) without figures. `low` and `high` bound the shades."""

    task: Task
    metric: str
    columns: list[Column] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    low: float = 0.0
    high: float = 0.0
    mean_chance: float | None = None
    baseline: Row | None = None
    compared: int = 0

    @property
    def gaps(self) -> int:
        return sum(1 for row in self.rows for cell in row.cells if cell is None)

    @property
    def is_measured(self) -> bool:
        return any(cell and cell.value is not None for row in self.rows for cell in row.cells)

    @property
    def is_beyond(self) -> str:
        """Says so where a bootstrap has too few draws to find anything among so many sets."""
        found = [[cell.difference for cell in row.cells if cell and cell.difference] for row in self.rows]
        most = max((len(some) for some in found if any(one.test == BOOTSTRAP for one in some)), default=0)
        can = most * 2 / (DRAWS + 1) < ALPHA
        return "" if can else f"Among {most} sets a difference can't be decided by {DRAWS:,} draws."

    def lacks_test(self, row: Row, place: int) -> bool:
        """Whether a figure stands beside the baseline's, and nothing says if the two differ by more than chance."""
        own, its = row.cells[place], self.baseline.cells[place] if self.baseline else None
        both = own and its and own.value is not None and its.value is not None
        return bool(both and own and not own.difference and not row.is_baseline)

    @property
    def is_partly_untested(self) -> bool:
        return any(self.lacks_test(row, place) for row in self.rows for place in range(len(self.columns)))

    @property
    def tests(self) -> list[str]:
        """Those that its differences were tested by."""
        return sorted({cell.difference.test for row in self.rows for cell in row.cells if cell and cell.difference})

    @property
    def touched(self) -> list[Cell]:
        """Cells whose items are partly in the model's training pairs."""
        return [cell for row in self.rows for cell in row.cells if cell and cell.measured.touched]


def build(
    task: Task,
    metric: str,
    found: Sequence[Measured],
    baseline: int | None = None,
    *,
    all_protocols: bool = False,
    sets: Mapping[int, EvaluationSet] | None = None,
) -> Matrix:
    """The table of a task under a metric. Without `all_protocols`, each set's newest protocol stands alone;
    one that only failed or was stopped takes no place from one with figures.

    Of `sets`, by their ids, it says what is not as published.
    """
    columns = _columns(task, found, sets or {})
    if not all_protocols:
        stands = {one.settings_sha256 for one in found if one.is_finished or one.state in jobs.OPEN}
        newest = {column.on: column for column in sorted(columns, key=lambda column: column.key in stands)}
        columns = [column for column in columns if newest[column.on] is column]
    columns.sort(key=lambda column: (column.on.casefold(), column.key))
    by_place = {(one.settings_sha256, one.encoder_id): one for one in found}
    models = {one.encoder_id: one for one in sorted(found, key=lambda one: one.encoder_id)}
    values = [_value(one) for one in by_place.values() if any(one.settings_sha256 == c.key for c in columns)]
    shown = [value for value in values if value is not None]
    low, high = (min(shown), max(shown)) if shown else (0.0, 0.0)
    best = {column.key: _best(metric, column, found) for column in columns}
    differences = _differences(columns, models, by_place, baseline)
    rows = []
    for encoder_id, one in models.items():
        cells = [
            _cell(by_place.get((column.key, encoder_id)), (low, high), best[column.key], differences)
            for column in columns
        ]
        rows.append(
            Row(encoder_id, one.model, one.weights.value == "random", encoder_id == baseline, cells, _mean(cells))
        )
    rows = [row for row in rows if any(row.cells)]
    against = next((row for row in rows if row.is_baseline), None)
    chances = [column.chance for column in columns if column.chance is not None]
    mean_chance = sum(chances) / len(chances) if chances and len(chances) == len(columns) else None
    return Matrix(task, metric, columns, rows, low, high, mean_chance, against, len(differences))


def _columns(task: Task, found: Iterable[Measured], sets: Mapping[int, EvaluationSet]) -> list[Column]:
    made: dict[str, Column] = {}
    for one in found:
        before = made.get(one.settings_sha256)
        chance = one.chance if one.chance is not None else before.chance if before else None
        words = protocol(task, one.settings)
        n = max(one.n, before.n if before else 0)
        of = sets.get(one.set_id or 0)
        marks = catalogue.marks(of.layout, of.report, one.settings.get("variant", "")) if of else ()
        made[one.settings_sha256] = Column(
            one.settings_sha256, one.on, one.set_id, one.settings, words, chance, n, marks
        )
    return list(made.values())


def _value(one: Measured | None) -> float | None:
    return one.figure.get("value") if one and one.figure else None


def _best(metric: str, column: Column, found: Iterable[Measured]) -> float | None:
    """The column's best figure; None where all that have one are equal, or only one has."""
    of_column = (_value(one) for one in found if one.settings_sha256 == column.key)
    values = {value for value in of_column if value is not None}
    if len(values) < 2:
        return None
    return (min if metrics.lower_is_better(metric) else max)(values)


def _cell(
    one: Measured | None, bounds: tuple[float, float], best: float | None, differences: dict[int, Difference]
) -> Cell | None:
    if one is None:
        return None
    figure, value = one.figure or {}, _value(one)
    low, high = bounds
    shade = 0 if value is None else 1 + int((SHADES - 1) * (value - low) / (high - low)) if high > low else 1
    is_best = value is not None and value == best
    return Cell(one, value, figure.get("low"), figure.get("high"), shade, is_best, differences.get(one.id))


def _mean(cells: Sequence[Cell | None]) -> float | None:
    """Only a model with a figure in every column has a mean that can be compared."""
    values = [cell.value for cell in cells if cell and cell.value is not None]
    return sum(values) / len(values) if values and len(values) == len(cells) else None


# --- significance -------------------------------------------------------------------------------


def _differences(
    columns: Sequence[Column],
    models: Iterable[int],
    by_place: dict[tuple[str, int], Measured],
    baseline: int | None,
) -> dict[int, Difference]:
    """Evaluation → its difference from the baseline, a model's corrected over the sets that it is compared on."""
    made: dict[int, Difference] = {}
    for encoder_id in models if baseline is not None else ():
        cells = [by_place.get((column.key, encoder_id)) for column in columns]
        raw = {one.id: pair for one in cells if one and encoder_id != baseline and (pair := _against(one))}
        corrected = holm([pair[3] for pair in raw.values()])
        made |= {
            id_: Difference(value, low, high, p, p < ALPHA, test)
            for (id_, (value, low, high, _, test)), p in zip(raw.items(), corrected, strict=True)
        }
    return made


def _against(one: Measured) -> tuple[float, float, float, float, str] | None:
    """(Difference, low, high, p, test) as the later of the two has stored it."""
    if one.own:
        value, low, high, p, test = one.own
        return value, low, high, p, test
    if one.theirs:
        value, low, high, p, test = one.theirs
        return -value, -high, -low, p, test
    return None


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values by Holm's step-down method (Scandinavian Journal of Statistics 6, 1979)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, so_far = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(order):
        so_far = max(so_far, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = so_far
    return adjusted
