"""How well borders, interface bars, panels, arrows and lettering are found on pictures with known truth."""

import random
import time
from collections import Counter
from collections.abc import Iterator

from app.demo.pictures import FIELDS, SITES, SLIDES, Camera, Studio
from app.demo.wheels import download_wheels
from bench import drawn
from bench.figures import Figure, percentiles
from bench.ground import Ground
from tests.services import ROOT

VIEWS = 120
WHEELS = ROOT / "tests" / ".cache" / "wheels"
SAME = 0.5  # intersection over union from which a found box is the drawn one
KINDS = ("border", "interface", "panel", "arrow", "lettering")


def run(ground: Ground) -> list[Figure]:
    from workers.ml import layout

    download_wheels(WHEELS)
    right: Counter[str] = Counter()
    found: Counter[str] = Counter()
    true: Counter[str] = Counter()
    seconds, plain, alarms = [], 0, 0
    for picture, truth in made_set(ground.count(VIEWS, least=12), seed=20418):
        before = time.perf_counter()
        boxes = layout.find(picture).boxes
        seconds.append(time.perf_counter() - before)
        true.update(kind for kind, _ in truth)
        found.update(box.kind for box in boxes)
        right.update(_matched(truth, [(box.kind, (box.x, box.y, box.width, box.height)) for box in boxes]))
        plain, alarms = plain + (not truth), alarms + (not truth and bool(boxes))
    figures = []
    for kind in KINDS:
        drawn_count = f"{true[kind]} drawn, {found[kind]} found, {right[kind]} of them right"
        figures.append(Figure(f"{kind}: precision", right[kind] / max(1, found[kind]), "", drawn_count))
        figures.append(Figure(f"{kind}: recall", right[kind] / max(1, true[kind]), "", drawn_count))
    p50, _ = percentiles(seconds)
    return [
        *figures,
        Figure("Plain views with any box", alarms / max(1, plain), "", f"{alarms} of {plain}"),
        Figure("A picture: p50", 1000 * p50, "ms"),
    ]


def made_set(count: int, seed: int) -> Iterator[tuple[bytes, drawn.Truth]]:
    """Views of real slides, a sixth each: plain, in a collage, bordered, on a screen, with arrows, with lettering."""
    chance = random.Random(seed)
    views = list(_views(count, seed))
    for number, view in enumerate(views):
        others = [view, *chance.sample(views, min(5, len(views)))]
        picture, truth = [
            lambda view=view: (view, []),
            lambda others=others: drawn.collage(others, chance),
            lambda view=view: drawn.bordered(view, chance),
            lambda view=view: drawn.screenshot(view, chance),
            lambda view=view: drawn.arrowed(view, chance),
            lambda view=view: drawn.lettered(view, chance),
        ][number % 6]()
        yield drawn.jpeg(picture, quality=chance.randint(60, 95)), truth


def _views(count: int, seed: int) -> Iterator[drawn.Image.Image]:
    import io

    studio, chance = Studio(WHEELS, seed), random.Random(seed)
    for _ in range(count):
        subject = chance.choice([*SITES, *SLIDES])
        fields = FIELDS[subject if subject in SLIDES else "skin"]
        taken = studio.take(f"{subject} {chance.choice(list(fields))}", Camera())
        yield drawn.Image.open(io.BytesIO(taken.data)).convert("RGB")


def _matched(truth: drawn.Truth, found: drawn.Truth) -> Iterator[str]:
    """The kind of each drawn box that was found, each found box used once."""
    left = list(found)
    for kind, box in truth:
        best = max(left, key=lambda other: (other[0] == kind) * _iou(box, other[1]), default=None)
        if best and best[0] == kind and _iou(box, best[1]) >= SAME:
            left.remove(best)
            yield kind


def _iou(one: drawn.Fraction4, other: drawn.Fraction4) -> float:
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)
