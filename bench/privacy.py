"""Faces and writing in pictures with known truth: what is found, false alarms on histology, images a second, memory."""

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from PIL import Image, ImageDraw

from app.demo.wheels import download_wheels
from bench import drawn
from bench.figures import Figure, percentiles
from bench.ground import Ground
from bench.memory import PeakMemory
from bench.panels import WHEELS, _iou, _views
from bench.processes import in_fresh_process

PLAIN = 150
FACE_SIDES = (0.04, 0.06, 0.1, 0.2)  # of the view's longer side
LETTERS = (0.012, 0.018, 0.027, 0.04)  # font size, of the view's longer side
CONTRASTS = {"opaque": 255, "half transparent": 128, "faint": 64}
INKS = ("black", "white", "#ffee00")
WORDS = ("MRN 1234567", "S23-12345", "Name: Ada Alder", "DOB 04/05/1961", "@path_demo_01", "Acc. 998-2231")
A_SET = 100

Found = Sequence[tuple[str, drawn.Fraction4]]


def run(ground: Ground) -> list[Figure]:
    download_wheels(WHEELS)
    plain, each = ground.count(PLAIN, least=10), ground.count(A_SET, least=4)
    with ground.place() as environment:
        return [
            *in_fresh_process(environment, faces_figures, plain, each),
            *in_fresh_process(environment, writing_figures, plain, each),
        ]


def faces_figures(plain: int, each: int) -> list[Figure]:
    from workers.ml import faces

    def find(picture: bytes) -> Found:
        return [("", (face.x, face.y, face.width, face.height)) for face in faces.find(picture)]

    views = list(_views(plain, seed=20419))
    figures = _alarms("Faces", views, find)
    for side in FACE_SIDES:
        found = sum(_hit(place, find(picture), 0.2) for picture, place in _with_faces(views, each, side))
        figures.append(Figure(f"Faces, {side:.0%} of the longer side: recall", found / each, "", f"{found} of {each}"))
    return figures


def writing_figures(plain: int, each: int) -> list[Figure]:
    from workers.ml import writing

    def find(picture: bytes) -> Found:
        return [(line.text, (line.x, line.y, line.width, line.height)) for line in writing.find(picture)]

    views = list(_views(plain, seed=20420))
    figures = _alarms("Writing", views, find)
    for contrast, alpha in CONTRASTS.items():
        for letters in LETTERS:
            seen: Counter[str] = Counter()
            for picture, place, words in _with_words(views, each, letters, alpha):
                lines = find(picture)
                seen["found"] += _hit(place, lines, 0.3)
                seen["read"] += any(_plain(words) == _plain(text) for text, _ in lines)
            name = f"Writing, {contrast}, letters {letters:.1%}: recall"
            figures.append(Figure(name, seen["found"] / each, "", f"{seen['read']} of {each} read to the letter"))
    return figures


def _alarms(name: str, views: Sequence[Image.Image], find: object) -> list[Figure]:
    """What is found where nothing is; how long that takes, and the memory that it takes beside the pictures."""
    assert callable(find)
    pictures, seconds, alarms = [drawn.jpeg(view) for view in views], [], 0
    with PeakMemory() as memory:
        find(pictures[0])
        for picture in pictures:
            before = time.perf_counter()
            alarms += bool(find(picture))
            seconds.append(time.perf_counter() - before)
    p50, p95 = percentiles(seconds)
    size = f"views of {views[0].width} × {views[0].height}"
    return [
        Figure(f"{name}: images a second", len(seconds) / sum(seconds), "", size),
        Figure(f"{name}: a picture, p50", 1000 * p50, "ms", f"p95 {1000 * p95:.0f} ms", at_most=300),
        Figure(f"{name}: memory", memory.own - memory.before, "MB", "with its libraries and model"),
        Figure(f"{name}: plain histology with any", alarms, f"of {len(views)}", at_most=0),
    ]


def _with_faces(views: Sequence[Image.Image], count: int, side: float) -> Iterator[tuple[bytes, drawn.Fraction4]]:
    """Faces of Labeled Faces in the Wild, 25 × 25 px in grey, enlarged and pasted on a view."""
    from skimage.data import lfw_subset

    chance, portraits = random.Random(f"faces {side}"), lfw_subset()[:100]
    for number in range(count):
        view = views[number % len(views)].copy()
        wide = round(side * max(view.size))
        face = Image.fromarray((255 * portraits[number % 100]).astype("uint8")).resize((wide, wide), Image.BICUBIC)
        x, y = chance.randint(0, view.width - wide), chance.randint(0, view.height - wide)
        view.paste(face.convert("RGB"), (x, y))
        yield drawn.jpeg(view), drawn._fraction((x, y, x + wide, y + wide), view.size)


def _with_words(
    views: Sequence[Image.Image], count: int, letters: float, alpha: int
) -> Iterator[tuple[bytes, drawn.Fraction4, str]]:
    chance = random.Random(f"words {letters} {alpha}")
    for number in range(count):
        view, words = views[number % len(views)], WORDS[number % len(WORDS)]
        layer = Image.new("L", view.size, 0)
        draw, kind = ImageDraw.Draw(layer), drawn.font(round(letters * max(view.size)))
        left, top, right, bottom = draw.textbbox((0, 0), words, font=kind)
        x = chance.uniform(0.02, 0.98) * (view.width - right)
        y = chance.uniform(0.02, 0.98) * (view.height - bottom)
        draw.text((x, y), words, alpha, font=kind)
        picture = Image.composite(Image.new("RGB", view.size, chance.choice(INKS)), view, layer)
        yield drawn.jpeg(picture), drawn._fraction((x + left, y + top, x + right, y + bottom), view.size), words


def _hit(place: drawn.Fraction4, found: Found, least: float) -> bool:
    return any(_iou(place, box) >= least for _, box in found)


def _plain(text: str) -> str:
    return "".join(text.casefold().split())
