"""The report: what was measured, how and on what, as a paper's author can use it; also as CSV and LaTeX. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.evaluation import metrics
from app.evaluation.matrix import Cell, Column, Matrix, Row
from app.evaluation.policies import PRESETS, TESTS, TITLES, UNTESTED, Preset, Task
from app.evaluation.queries import Shown
from app.snapshots.member import RELEASED
from app.tables import Encoder, EvaluationSet, Weights

HEADER = (
    "task", "set", "protocol", "metric", "model", "value", "low", "high", "chance", "n", "baseline", "difference",
    "difference_low", "difference_high", "p_holm", "test", "evaluation", "remarks",
)  # fmt: skip


@dataclass(frozen=True)
class Data:
    """What was measured on: a set under one variant as it was read for that, or the splits of a snapshot.

    `splits` counts all of its pictures or pairs; of a set that was read again since, nothing is known. Without
    classes, it is pairs.
    """

    name: str
    part: str
    splits: dict[str, int]
    classes: int
    licence: str
    items: str


@dataclass(frozen=True)
class Report:
    """Tables by task, what they are about, and the sentences that go with them. `tasks` are all that have figures."""

    tasks: list[Task]
    tables: list[Matrix]
    models: list[Encoder]
    data: list[Data]
    methods: list[str]
    statistics: list[str]
    limits: list[str]
    versions: dict[str, str] = field(default_factory=dict)


def make(tables: Sequence[Matrix], found: Sequence[Shown]) -> Report:
    """The report of some tables; `found` are all evaluations with figures, of which those in the tables count."""
    ids = {cell.measured.id for table in tables for row in table.rows for cell in row.cells if cell}
    there = [one for one in found if one.row.id in ids]
    models = list({one.encoder.id: one.encoder for one in there}.values())
    data = {(one.name, one.part, one.items): one for one in map(_data, there)}
    with_figures = {one.row.task for one in found}
    return Report(
        [task for task in Task if task in with_figures],
        list(tables),
        models,
        list(data.values()),
        list(_methods(tables, there)),
        list(_statistics(tables)),
        list(_limits(tables, there, models, list({one.set.id: one.set for one in there if one.set}.values()))),
        _versions(there),
    )


def _data(one: Shown) -> Data:
    items = one.row.settings["items"]
    if one.snapshot:
        counts = one.snapshot.report.get("counts", {})
        pairs = {split: counts.get(split, 0) for split in RELEASED}
        return Data(one.on, " + ".join(one.row.settings["splits"]), pairs, 0, "of each pair's source", items)
    assert one.set is not None
    variant, report = one.row.settings["variant"], one.set.report
    shape = report["variants"].get(variant, {}) if items == one.set.items_sha256 else {}
    classes = len(shape.get("counts", {})) if report["classes"] else 0
    counts = shape.get("splits", {})
    splits = {split: counts[split] for split in (*RELEASED, *counts) if split in counts}
    return Data(one.on, variant, splits, classes, one.set.licence or "unknown", items)


def _methods(tables: Sequence[Matrix], found: Sequence[Shown]) -> Iterator[str]:
    if not found:
        return
    models = len({one.encoder.id for one in found})
    on = list(dict.fromkeys(one.on for one in found))
    yield f"We measured {_many(models, 'model')} on {', '.join(on)}."
    for table in tables:
        of_task = [one for one in found if one.row.task is table.task]
        if of_task:
            yield METHODS[table.task](of_task)
    precisions = sorted({str(one.row.settings.get("precision", "fp32")) for one in found})
    yield f"Features were computed in {' and '.join(precisions)}."
    seen: dict[str, dict[str, None]] = {}
    for one in found:
        if said := one.row.metrics.get("preprocessing"):
            seen.setdefault(f"{said['decode']}; {said['transform']}", {})[one.encoder.name] = None
    for how, names in seen.items():
        yield f"Preprocessing of {', '.join(names)}: {how}."


def _zero_shot(found: Sequence[Shown]) -> str:
    worded = {one.wording.id: one.wording for one in found if one.wording}
    counts = sorted({len(one.templates) for one in worded.values()})
    return (
        "Zero-shot: pictures and prompts were embedded and scaled to length 1; a class is the mean of its prompts over "
        f"names and {_either(counts)} templates, scaled to length 1 again, and a picture belongs to the class with the "
        f"highest cosine. Probabilities: {'; '.join(sorted({one.row.metrics['scores_by'] for one in found}))}."
    )


def _probe(found: Sequence[Shown]) -> str:
    used = sorted({Preset(one.row.settings["preset"]) for one in found})
    protocols = " ".join(f"{PRESETS[one]}." for one in used)
    return f"Linear probe on frozen features, learned from training pictures only. {protocols}"


def _few_shot(found: Sequence[Shown]) -> str:
    ks = sorted({k for one in found for k in one.row.settings["ks"]})
    draws = sorted({one.row.settings["seeds"] for one in found})
    return (
        f"Few-shot: logistic regression on {_either(ks)} training pictures a class, drawn {_either(draws)} times; the "
        "mean over draws is given."
    )


def _retrieval(found: Sequence[Shown]) -> str:
    on = sorted({one.on for one in found})
    return (
        f"Retrieval on the pairs of {', '.join(on)} (of a snapshot, those held out), in both directions by cosine. "
        "Strict: one picture is drawn of each post, group or caption, and its own caption counts. Group-aware: all "
        "pairs, and any of the same post, group or caption counts. Ties get their expected rank."
    )


METHODS = {
    Task.ZERO_SHOT: _zero_shot,
    Task.LINEAR_PROBE: _probe,
    Task.FEW_SHOT: _few_shot,
    Task.RETRIEVAL: _retrieval,
}


def _statistics(tables: Sequence[Matrix]) -> Iterator[str]:
    yield (
        "Intervals are 95 % percentile intervals of a bootstrap with 1,000 draws of the independent unit: patient, "
        "slide or original where the set tells it, else the picture; the author for retrieval on a snapshot."
    )
    for table in tables:
        if table.baseline and table.compared:
            yield (
                f"{TITLES[table.task]}: “{metrics.name(table.metric)}” was compared with {table.baseline.model} "
                f"on the same items ({' or '.join(table.tests)}); p-values are corrected over the sets that a "
                f"model is compared on by Holm's method. {table.is_beyond}".rstrip()
            )
    used = {test for table in tables for test in table.tests}
    yield from (about for test, about in TESTS.items() if test in used)
    if any(table.is_partly_untested for table in tables):
        yield UNTESTED


def _limits(
    tables: Sequence[Matrix], found: Sequence[Shown], models: Sequence[Encoder], sets: Sequence[EvaluationSet]
) -> Iterator[str]:
    if random := [one.name for one in models if one.weights is Weights.RANDOM]:
        yield f"Random weights, so their figures say nothing about pathology: {', '.join(random)}."
    for one in found:
        touched = one.row.metrics.get("contamination", {}).get("items", 0)
        if touched:
            yield (
                f"{touched:,} items of {one.on} are in, or near to, the training pairs of {one.encoder.name}; its page "
                "gives the figures without them."
            )
    skipped: dict[tuple[str, int], dict[str, None]] = {}
    for one in found:
        if count := one.row.metrics.get("skipped_count", 0):
            skipped.setdefault((one.on, count), {})[one.encoder.name] = None
    for (on, count), names in skipped.items():
        yield f"{on}: {_many(count, 'item')} {'was' if count == 1 else 'were'} skipped for {', '.join(names)}."
    for chosen in sets:
        if differences := chosen.report.get("differences", []):
            more = f" And {len(differences) - 1:,} more, which its page lists." if len(differences) > 1 else ""
            first = differences[0][:1].upper() + differences[0][1:]
            yield f"{chosen.name} is not as published. {first}{more}"
        yield from (f"{chosen.name}: {trap}" for trap in chosen.report.get("warnings", []))
    gaps = sum(table.gaps for table in tables)
    if gaps:
        yield f"{_many(gaps, 'place')} of the tables {'is' if gaps == 1 else 'are'} empty: not measured."


def _versions(found: Sequence[Shown]) -> dict[str, str]:
    """Library → its versions in the evaluations of the report."""
    seen: dict[str, dict[str, None]] = {}
    for one in found:
        for name, version in one.row.metrics.get("versions", {}).items():
            seen.setdefault(name, {})[str(version)] = None
    return {name: ", ".join(versions) for name, versions in sorted(seen.items())}


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _either(counts: Iterable[int]) -> str:
    return " or ".join(f"{count:,}" for count in counts) or "no"


# --- as tables ----------------------------------------------------------------------------------


def rows(report: Report) -> Iterator[list[Any]]:
    """A row for each figure, under HEADER."""
    for table in report.tables:
        for row in table.rows:
            for column, cell in zip(table.columns, row.cells, strict=True):
                if cell and cell.value is not None:
                    yield _csv_row(table, column, row, cell)


def _csv_row(table: Matrix, column: Column, row: Row, cell: Cell) -> list[Any]:
    d = cell.difference
    compared = [table.baseline.model, d.value, d.low, d.high, d.p, d.test] if d and table.baseline else [""] * 6
    figure = [cell.value, cell.low, cell.high, column.chance, column.n]
    place = [table.task.value, column.on, column.protocol, table.metric, row.model]
    stated = ["" if one is None else one for one in figure]
    return [*place, *stated, *compared, cell.measured.id, ", ".join(column.marks)]


ESCAPES = str.maketrans(
    {
        metrics.MINUS: "$-$", "κ": r"$\kappa$", "×": r"$\times$", "→": r"$\to$",
        "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "\n": " ",
        "|": r"\textbar{}", "[": "{[}", "*": "{*}",  # the last two, first of a row, belong to the \\ before it
    }
)  # fmt: skip


LAST_LATIN, TYPOGRAPHIC = "\N{LATIN SMALL LETTER LONG S}", "‘’“”–—…"  # what pdflatex sets without a package


def escaped(text: str) -> str:
    """Text that pdflatex prints as it is and can't take for a command; letters that it has none for, by their code."""
    shown = (letter for letter in text if letter.isprintable() or letter == "\n")
    return "".join(one if _is_set(one) else f"(U+{ord(one):04X})" for one in shown).translate(ESCAPES)


def _is_set(letter: str) -> bool:
    return letter <= LAST_LATIN or letter in TYPOGRAPHIC or ord(letter) in ESCAPES


def latex(report: Report) -> str:
    """The methods and a booktabs table a task, to be put into a document as they are."""
    parts = ["% needs \\usepackage{booktabs}", *(escaped(one) for one in report.methods + report.statistics)]
    return "\n\n".join([*parts, *(_latex_table(table) for table in report.tables)]) + "\n"


def _latex_table(table: Matrix) -> str:
    title = f"{TITLES[table.task]}: {escaped(metrics.name(table.metric))}"
    unit = " (\\%)" if metrics.is_share(table.metric) else ""
    heads = " & ".join(escaped(column.on) for column in table.columns)
    under = " & ".join(f"\\scriptsize {escaped(column.protocol)}" for column in table.columns)
    body = [
        f"{escaped(row.model)} & " + " & ".join(_latex_cell(table.metric, cell) for cell in row.cells)
        for row in table.rows
    ]
    counts = " & ".join(f"\\scriptsize $n$ = {column.n:,}" if column.n else "" for column in table.columns)
    chance = " & ".join(escaped(metrics.chance(table.metric, column.chance)) for column in table.columns)
    lines = [f"Chance & {chance}", *body]
    return "\n".join(
        [
            "\\begin{table}",
            f"\\caption{{{title}{unit}, 95\\,\\% interval.{_remarks(table)}}}",
            f"\\begin{{tabular}}{{l{'c' * len(table.columns)}}}",
            "\\toprule",
            f"Model & {heads} \\\\",
            f" & {under} \\\\",
            f" & {counts} \\\\",
            "\\midrule",
            *(f"{line} \\\\" for line in lines),
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table}",
        ]
    )


def _remarks(table: Matrix) -> str:
    """What a caption says of columns that can't stand beside published ones."""
    said = {f"{column.on} ({column.protocol})": " and ".join(column.marks) for column in table.columns if column.marks}
    return "".join(f" {escaped(on)}: {escaped(marks)}." for on, marks in said.items())


def _latex_cell(metric: str, cell: Cell | None) -> str:
    if cell is None or cell.value is None:
        return "--"
    value = escaped(metrics.written(metric, cell.value))
    shown = f"\\textbf{{{value}}}" if cell.is_best else value
    mark = "$^{*}$" if cell.difference and cell.difference.is_sure else ""
    between = (
        f" ({escaped(metrics.written(metric, cell.low))} to {escaped(metrics.written(metric, cell.high))})"
        if cell.low is not None
        else ""
    )
    return f"{shown}{mark}{between}"
