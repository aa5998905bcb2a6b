"""A figure, and how a list of them is printed."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles


@dataclass(frozen=True)
class Figure:
    """One measured value, what it was compared with in the same run, and its aim where there is one."""

    name: str
    value: float
    unit: str
    compared: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def aim(self) -> str:
        if self.at_most is not None:
            return f"≤ {plain(self.at_most)}"
        return f"≥ {plain(self.at_least)}" if self.at_least is not None else ""

    @property
    def missed(self) -> bool:
        above = self.at_most is not None and self.value > self.at_most
        return above or (self.at_least is not None and self.value < self.at_least)


def percentiles(values: Sequence[float]) -> tuple[float, float]:
    """The 50th and the 95th percentile of at least two values."""
    cuts = quantiles(values, n=20, method="inclusive")
    return cuts[9], cuts[18]


def plain(value: float) -> str:
    """Three digits, or all of a whole part that is longer."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def show(title: str, figures: Sequence[Figure]) -> None:
    """Prints a table of figures; a missed aim is marked."""
    rows = [
        (f.name, f"{plain(f.value)} {f.unit}".strip(), f.aim + (" missed" if f.missed else ""), f.compared)
        for f in figures
    ]
    heads = (title, "measured", "aim", "compared with")
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, tuple("-" * width for width in widths), *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(flush=True)
