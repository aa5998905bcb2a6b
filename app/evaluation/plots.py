"""Figures of a report and of an evaluation as SVG that opens by itself: plain colours, named fonts, no style. Pure.

Page and download show the same bytes. Lengths are pixels.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, cos, floor, log10, radians
from xml.etree import ElementTree as ET

from app.evaluation import metrics
from app.evaluation.matrix import Cell, Column, Matrix, Row
from app.evaluation.policies import TITLES
from app.evaluation.queries import Shown

FONTS, SIZE = "Helvetica, Arial, sans-serif", 12
INK, SOFT, GRID, BLUE = "#15181c", "#5d6670", "#e4e7ea", "#0a6fb0"
PAD, LINE = 12, 20
SIDE = 320  # of a square plot
AXIS = 48  # for the numbers and the name of an axis
SHOTS = ("low", "mean", "high")
TRUE_SAID = "True, said"  # a row and a column
DARK = 0.85  # of blue, from where white letters stand out better


class Drawing:
    """Elements in the order in which they are painted, and how far to the right and down they reach."""

    def __init__(self, title: str, about: str = "") -> None:
        self.root = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img"})
        self.right = self.bottom = 0.0
        ET.SubElement(self.root, "title").text = printable(title)
        if about:
            ET.SubElement(self.root, "desc").text = printable(about)
        self.ground = self.add("rect", width="100%", height="100%", fill="#ffffff")

    def add(self, tag: str, **values: float | str) -> ET.Element:
        return ET.SubElement(self.root, tag, {name.replace("_", "-"): _said(one) for name, one in values.items()})

    def line(self, x1: float, y1: float, x2: float, y2: float, stroke: str = GRID, **values: float | str) -> None:
        self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=stroke, **values)

    def text(
        self, x: float, y: float, words: str, text_anchor: str = "start", turned: int = 0, **values: float | str
    ) -> None:
        """A line of words that stands on `y`, turned by degrees about its place."""
        placed = {"transform": f"rotate({turned} {_said(x)} {_said(y)})"} if turned else {}
        self.add("text", x=x, y=y, text_anchor=text_anchor, **placed, **values).text = printable(words)
        reach = {"start": 1.0, "middle": 0.5}.get(text_anchor, 0.0) * length_of(words) * cos(radians(turned))
        self.right, self.bottom = max(self.right, x + reach), max(self.bottom, y)

    def document(self) -> bytes:
        width, height = ceil(self.right + PAD), ceil(self.bottom + PAD)
        text = {"font-family": FONTS, "font-size": str(SIZE), "fill": INK}
        size = {"width": str(width), "height": str(height), "viewBox": f"0 0 {width} {height}"}
        self.root.attrib.update(size | text)
        made: bytes = ET.tostring(self.root, encoding="utf-8", xml_declaration=True)
        return made


def _said(value: float | str) -> str:
    return value if isinstance(value, str) else f"{round(value, 2):g}"


def printable(words: str) -> str:
    """What XML can hold of a name."""
    return "".join(letter for letter in words if letter.isprintable())


def length_of(words: str) -> float:
    """No less than a line of text needs in these fonts, most often."""
    return sum(1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.6 for letter in words) * SIZE


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` as places from `start` on; a negative `length` goes up."""

    low: float
    high: float
    start: float
    length: float

    def __call__(self, value: float) -> float:
        return self.start + self.length * (value - self.low) / (self.high - self.low)


def ticks(low: float, high: float) -> list[float]:
    """Round values, two to eight in steps of 1, 2 or 5 times a power of ten, that enclose `low` and `high`."""
    span = max(high - low, 0.01)
    power = 10.0 ** floor(log10(span / 6))
    step = power * next(one for one in (1, 2, 5, 10) if span <= 6 * one * power)
    first = floor(low / step + 1e-9)
    last = max(ceil(high / step - 1e-9), first + 1)
    return [round(number * step, 10) for number in range(first, last + 1)]


# --- models on sets -----------------------------------------------------------------------------


def caption(table: Matrix) -> str:
    """What a reader has to know of `points`."""
    baseline = f" Open point: {table.baseline.model}, compared with; * p < 0.05 after Holm." if table.baseline else ""
    return f"Point: the value. Line: its 95 % interval. Dashed: chance.{baseline}"


def points(table: Matrix) -> bytes:
    """Every model's figure with its interval, a panel for each column of the table; all on one scale."""
    drawing = Drawing(f"{TITLES[table.task]}: {metrics.name(table.metric)}", caption(table))
    shown = {column.key: _shown(table, place) for place, column in enumerate(table.columns)}
    marks = ticks(*_bounds(table.columns, [cell for some in shown.values() for _, cell in some]))
    left = 2 * PAD + max((length_of(_name(row)) for row in table.rows), default=0.0)
    at, y = Scale(marks[0], marks[-1], left, SIDE), float(PAD)
    for column in table.columns:
        if shown[column.key]:
            y = _panel(drawing, table.metric, column, shown[column.key], at, marks, y)
    _below(drawing, table.metric, at, marks, y)
    return drawing.document()


def _shown(table: Matrix, place: int) -> list[tuple[Row, Cell]]:
    cells = ((row, row.cells[place]) for row in table.rows)
    return [(row, cell) for row, cell in cells if cell and cell.value is not None]


def _bounds(columns: Sequence[Column], cells: Sequence[Cell]) -> tuple[float, float]:
    values = [one for cell in cells for one in (cell.value, cell.low, cell.high)] + [one.chance for one in columns]
    known = [one for one in values if one is not None]
    return min(known, default=0.0), max(known, default=1.0)


def _name(row: Row) -> str:
    return f"{row.model} (random weights)" if row.is_random else row.model


def _panel(
    drawing: Drawing,
    metric: str,
    column: Column,
    lines: Sequence[tuple[Row, Cell]],
    at: Scale,
    marks: Sequence[float],
    top: float,
) -> float:
    """Draws from `top` down; where the next may begin."""
    drawing.text(PAD, top + SIZE, ", ".join([column.on, column.protocol, *column.marks]), font_weight="bold")
    top += LINE
    bottom = top + LINE * len(lines)
    for mark in marks:
        drawing.line(at(mark), top, at(mark), bottom)
    if column.chance is not None:
        drawing.line(at(column.chance), top, at(column.chance), bottom, SOFT, stroke_dasharray="4 3")
    for number, (row, cell) in enumerate(lines):
        y = top + LINE * (number + 0.5)
        drawing.text(at.start - PAD, y + SIZE / 3, _name(row), "end")
        if cell.low is not None and cell.high is not None:
            drawing.line(at(cell.low), y, at(cell.high), y, BLUE, stroke_width=1.5)
        fill = "#ffffff" if row.is_baseline else BLUE
        drawing.add("circle", cx=at(cell.value or 0.0), cy=y, r=4, fill=fill, stroke=BLUE, stroke_width=1.5)
        sure = "*" if cell.difference and cell.difference.is_sure else ""
        drawing.text(at.start + at.length + PAD, y + SIZE / 3, metrics.written(metric, cell.value) + sure)
    return bottom + PAD


def _below(drawing: Drawing, metric: str, at: Scale, marks: Sequence[float], top: float) -> None:
    digits = 0 if marks[1] - marks[0] >= 0.01 else 1
    for mark in marks:
        drawing.text(at(mark), top + SIZE / 2, metrics.written(metric, mark, digits), "middle", fill=SOFT)
    unit = ", percent" if metrics.is_share(metric) else ""
    drawing.text(at.start + at.length / 2, top + 2 * LINE - SIZE / 2, metrics.name(metric) + unit, "middle")


# --- one evaluation -----------------------------------------------------------------------------


def reliability(found: Shown) -> bytes:
    """Share that is right by the probability of the class that was named."""
    drawing, x, y = _square(found, "Reliability", "Probability of the class that was named, percent", "Right, percent")
    drawing.line(x(0), y(0), x(1), y(1), SOFT, stroke_dasharray="4 3")
    places = [(x(said), y(right)) for said, right, _ in found.row.metrics["reliability"]]
    drawing.add("polyline", points=_path(places), fill="none", stroke=BLUE, stroke_width=1.5)
    for cx, cy in places:
        drawing.add("circle", cx=cx, cy=cy, r=3, fill=BLUE)
    return drawing.document()


def shots(found: Shown) -> bytes:
    """Balanced accuracy by pictures a class: the mean over draws, and the band from the lowest to the highest."""
    lines = found.row.metrics["by_k"]
    drawing, x, y = _square(
        found, "Few-shot", "Pictures a class", "Balanced accuracy, percent", [str(one["k"]) for one in lines]
    )
    across = [x(place / max(len(lines) - 1, 1)) for place in range(len(lines))]
    low, mean, high = ([(at, y(one[key])) for at, one in zip(across, lines, strict=True)] for key in SHOTS)
    drawing.add("polygon", points=_path([*high, *reversed(low)]), fill=BLUE, fill_opacity=0.15)
    drawing.add("polyline", points=_path(mean), fill="none", stroke=BLUE, stroke_width=1.5)
    for cx, cy in mean:
        drawing.add("circle", cx=cx, cy=cy, r=3, fill=BLUE)
    return drawing.document()


def confusion(found: Shown) -> bytes:
    """Percent of each true class (a row) that was called each class (a column)."""
    classes, counts = found.row.metrics["classes"], found.row.metrics["confusion"]
    drawing = Drawing(f"Confusion: {found.title}", "Percent of each true class, by the class that was said.")
    longest, cell = max(map(length_of, [TRUE_SAID, *classes])), 2 * LINE
    left, top = 2 * PAD + longest, _head(drawing, found, "Confusion") + longest * 0.75 + LINE
    drawing.text(left - PAD, top - SIZE / 2, TRUE_SAID, "end", fill=SOFT)
    for at, name in enumerate(classes):
        drawing.text(left - PAD, top + cell * (at + 0.5) + SIZE / 3, name, "end")
        x, y = left + cell * (at + 0.6), top - SIZE / 2
        drawing.text(x, y, name, turned=-45)
    for row, of_class in enumerate(counts):
        whole = sum(of_class)
        for column, count in enumerate(of_class):
            share = count / whole if whole else 0.0
            x, y = left + cell * column, top + cell * row
            drawing.add("rect", x=x, y=y, width=cell, height=cell, fill=_shade(share), stroke="#ffffff")
            if count:
                ink = "#ffffff" if share > DARK else INK
                drawing.text(x + cell / 2, y + cell / 2 + SIZE / 3, f"{100 * share:.0f}", "middle", fill=ink)
    drawing.right = max(drawing.right, left + cell * len(classes))
    drawing.bottom = top + cell * len(classes)
    return drawing.document()


PLOTS: Mapping[str, tuple[str, Callable[[Shown], bytes]]] = {  # name of the file → the metrics that it draws, and how
    "confusion.svg": ("confusion", confusion),
    "reliability.svg": ("reliability", reliability),
    "shots.svg": ("by_k", shots),
}


def _head(drawing: Drawing, found: Shown, what: str) -> float:
    """Writes what is drawn over it; where the drawing may begin."""
    drawing.text(PAD, PAD + SIZE, f"{what}: {found.title}", font_weight="bold")
    drawing.text(PAD, PAD + SIZE + LINE, f"{found.task_title}, {found.protocol}", fill=SOFT)
    return float(PAD + SIZE + LINE + PAD)


def _square(
    found: Shown, what: str, below: str, beside: str, names: Sequence[str] = ("0", "20", "40", "60", "80", "100")
) -> tuple[Drawing, Scale, Scale]:
    """A drawing with a square from 0 to 1 in both directions, and the scales of it; `names` stand below, evenly."""
    drawing = Drawing(f"{what}: {found.title}")
    left, bottom = float(AXIS + PAD), _head(drawing, found, what) + SIDE
    x, y = Scale(0, 1, left, SIDE), Scale(0, 1, bottom, -SIDE)
    for fifth in range(6):
        share = fifth / 5
        drawing.line(x(0), y(share), x(1), y(share))
        drawing.text(left - SIZE / 2, y(share) + SIZE / 3, str(20 * fifth), "end", fill=SOFT)
    for place, name in enumerate(names):
        across = x(place / max(len(names) - 1, 1))
        drawing.line(across, y(0), across, y(1))
        drawing.text(across, bottom + 1.5 * SIZE, name, "middle", fill=SOFT)
    drawing.text(x(0.5), bottom + AXIS - PAD / 2, below, "middle")
    drawing.text(PAD + SIZE, y(0.5), beside, "middle", turned=-90)
    return drawing, x, y


def _path(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{_said(x)},{_said(y)}" for x, y in places)


def _shade(share: float) -> str:
    """From white to blue."""
    full = [int(BLUE[at : at + 2], 16) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(255 + (one - 255) * share):02x}" for one in full)
