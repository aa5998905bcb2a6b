"""README.md of a model: the card that Hugging Face reads. It says what we know, and where we know nothing."""

import json
from collections.abc import Sequence

from app.encoders.figures import Figure
from app.encoders.policies import REACH, origin, snippet
from app.encoders.queries import Shown, Step
from app.tables import Weights
from app.training.settings import title_of

CARD = "README.md"
LIMITS = """\
- Not for diagnosis. It tells which picture and which text lie near each other, and nothing of a patient.
- Texts beyond its context, 77 tokens for most, are cut off."""
POSTED = "- It learned from what people posted: rare findings, stains, scanners and languages are seldom in it."


def card(one: Shown, steps: Sequence[Step], folder: str) -> str:
    """`folder` is the one that this file lies in."""
    encoder = one.encoder
    terms = encoder.licence or "Unknown"
    has_posts = any(step.snapshot for step in steps)
    parts = [
        front_matter(terms, has_posts=has_posts),
        f"# {cell(encoder.name)}",
        _what_it_is(one),
        f"## Load it\n\nBeside this folder:\n\n```python\n{snippet(folder)}\n```",
        f"## What it was made from\n\n{_made_from(one, steps)}",
        f"## Figures\n\n{_figures(one.figures)}",
        f"## Limits\n\n{_limits(one, has_posts=has_posts)}",
        f"## Licence\n\n{cell(terms.removesuffix('.'))}." + (f" {REACH}" if encoder.reaches_data else ""),
    ]
    return "\n\n".join(parts) + "\n"


def front_matter(terms: str, *, has_posts: bool) -> str:
    """The YAML head; each value is JSON, which is YAML too, so that no text of others is read as syntax."""
    values = {
        "license": "other",
        "license_name": terms,
        "library_name": "open_clip",
        "pipeline_tag": "zero-shot-image-classification",
        "tags": ["clip", "histopathology", "medical"] if has_posts else ["clip"],
    }
    return "\n".join(["---", *(f"{name}: {json.dumps(value)}" for name, value in values.items()), "---"])


def _what_it_is(one: Shown) -> str:
    encoder = one.encoder
    said = (
        f"A CLIP for images and texts: {encoder.parameters:,} parameters, {encoder.width:,} numbers a vector, "
        f"{'QuickGELU' if encoder.quick_gelu else 'GELU'}. Open it with the config beside it: other settings give "
        f"other vectors without any error."
    )
    if encoder.weights is Weights.RANDOM:
        said = f"**Its weights are random: it was never trained, and its vectors mean nothing.**\n\n{said}"
    return said


def _made_from(one: Shown, steps: Sequence[Step]) -> str:
    encoder = one.encoder
    lines = [f"- {_step(step)}" for step in steps]
    first = steps[-1].base if steps else encoder
    if first:
        weights = f"weights {first.checksum}" if first.checksum else "no file of weights"
        lines.append(
            f"- {'It starts from' if steps else 'Registered as'} {cell(first.name)}: {origin(first)}, {weights}."
        )
    lines += _how(one)
    return "\n".join(lines)


def _step(step: Step) -> str:
    run, data = step.run, step.run.report.get("data", {})
    on = f"snapshot v{step.snapshot:04d}" if step.snapshot else "the drawn practice set"
    pairs = f" ({data['pairs']:,} pairs)" if "pairs" in data else ""
    base = f"from {cell(step.base.name)}" if step.base else f"from random weights of {cell(run.architecture)}"
    best = f"best epoch {run.best_epoch or 'unknown'}"
    earlier = run.report.get("goes_on_from")
    base += f", after the last epoch of run {earlier}" if earlier else ""
    return f"Run {run.id} on {on}{pairs}, {base}; recipe {cell(title_of(run.recipe))}, {best}."


def _how(one: Shown) -> list[str]:
    versions = one.encoder.provenance.get("versions", {})
    made = (
        [f"- Versions: {', '.join(f'{cell(name)} {cell(value)}' for name, value in versions.items())}."]
        if versions
        else []
    )
    if one.run and one.run.settings:
        settings = ", ".join(f"{name} {value}" for name, value in sorted(one.run.settings.items()))
        made.append(f"- Settings: {cell(settings)}.")
    return made


def _figures(figures: Sequence[Figure]) -> str:
    if not figures:
        return "None was measured here."
    rows = [f"| {figure.name} | {figure.value:.1%}{_interval(figure)} | {figure.protocol} |" for figure in figures]
    return "\n".join(["| Figure | Value | Protocol |", "|---|---|---|", *rows])


def _interval(figure: Figure) -> str:
    has = figure.low is not None and figure.high is not None
    return f" ({figure.low:.1%} to {figure.high:.1%})" if has else ""


def _limits(one: Shown, *, has_posts: bool) -> str:
    withdrawn = f"- Learned from {one.withdrawn:,} pairs that were withdrawn since."
    return "\n".join([*([withdrawn] if one.withdrawn else []), LIMITS, *([POSTED] if has_posts else [])])


def cell(text: object) -> str:
    """Text of others on one line, without what Markdown or HTML would read."""
    plain = " ".join(str(text).split())
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in plain)
