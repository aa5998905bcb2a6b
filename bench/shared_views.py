"""What the sameness stage finds by the views that pictures share, on slides that none of its constants was chosen on.

The constants were chosen on views of the slides "skin" and "papillary".
"""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.demo.pictures import FIELDS, SITES, Box, Camera, Studio, download_wheels
from app.prefilter import lookalikes
from app.prefilter.grouping import Match
from bench.figures import Figure, percentiles
from bench.ground import Ground
from bench.near_duplicates import CHANGES, Change, cropped, framed, resized, turned
from bench.processes import in_fresh_process
from bench.sameness import RADIUS, SEED, as_words, distances
from bench.search import as_text, connected
from tests.services import ROOT

UNSEEN, KNOWN = ("pleomorphic", "glands"), ("skin", "papillary")
QUERIES, OTHERS = 60, 240
FALSE = 0.5  # of the smaller view, at least, must truly be in the other

MORE: dict[str, Change] = {
    "20 % cropped off, mirrored": lambda picture: cropped(0.2)(turned(Image.Transpose.FLIP_LEFT_RIGHT)(picture)),
    "20 % cropped off, half the size": lambda picture: cropped(0.2)(resized(picture)),
    "10 % cropped off, caption bar of 15 %": lambda picture: framed(0, 0.15)(cropped(0.1)(picture)),
}

VECTORS, WIDTH, KINDS = 20_000, 1280, 400  # as EfficientNet-Lite0 makes them


def run(ground: Ground) -> list[Figure]:
    finder = Finder(ground.count(QUERIES, least=15), ground.count(OTHERS, least=40))
    return [
        *(finder.figure(name, change) for name, change in (CHANGES | MORE).items()),
        Figure("Comparing two pictures: p50", finder.milliseconds(), "ms"),
        *neighbours(ground.count(40, least=8)),
        recall(ground, ground.count(VECTORS, least=2000)),
    ]


# --- changed pictures ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Taken:
    """A view, and where on which slide it is."""

    picture: Image.Image
    slide: str
    box: Box


def take(studio: Studio, slides: Sequence[str], count: int) -> list[Taken]:
    words = [f"{subject} {field}" for slide in slides for subject in subjects(slide) for field in FIELDS[slide]]
    views = []
    for said in islice(cycle(words), count):
        picture = studio.take(said, Camera())
        slide = "skin" if said.split()[0] in SITES else said.split()[0]
        opened = Image.open(io.BytesIO(picture.data)).convert("RGB")
        views.append(Taken(opened, slide, studio._taken[slide][-1]))
    return views


def subjects(slide: str) -> list[str]:
    return list(SITES) if slide == "skin" else [slide]


class Finder:
    """The stage's own steps, but for the database: hashes, nearest vectors, and what is seen of those."""

    def __init__(self, queries: int, others: int) -> None:
        from workers.ml.encoder import EncoderSpec, load_encoder
        from workers.ml.shared_view import Sight

        wheels = ROOT / "tests" / ".cache" / "wheels"
        download_wheels(wheels)
        studio = Studio(wheels, SEED)
        self.views = take(studio, UNSEEN, queries) + take(studio, KNOWN, others)
        self.queries = queries
        self.network = load_encoder(EncoderSpec("efficientnet-lite0"))
        jpegs = [jpeg(view.picture, 90) for view in self.views]
        self.vectors = self.network.embed_images(jpegs)
        self.hashes = as_words([hashed(data) for data in jpegs])
        self.sights = [Sight(data) for data in jpegs]
        self.seconds: list[float] = []

    def figure(self, name: str, change: Change) -> Figure:
        """The share of changed views that join their own original, by hash or by what they show."""
        by_hash = joined = likely_own = wrong = right = 0
        changed = [jpeg(change(view.picture), 75) for view in self.views[: self.queries]]
        vectors = self.network.embed_images(changed)
        for own, (data, vector) in enumerate(zip(changed, vectors, strict=True)):
            near = set(np.flatnonzero(distances(self.hashes, hashed(data)) <= RADIUS))
            likely = self.likely(vector, near)
            copies = {number for number in likely if self.is_copy(data, number)}
            by_hash += own in near
            likely_own += own in near or own in likely
            joined += own in near | copies
            truly = {number for number in copies - {own} if self.truly_shared(own, number) >= FALSE}
            right, wrong = right + len(truly), wrong + len(copies - truly - {own})
        of = 100 / self.queries
        compared = (
            f"{of * by_hash:.0f} % by PDQ alone, {of * likely_own:.0f} % are among those looked at; "
            f"{wrong} others joined that are none, {right} that share most of the smaller view"
        )
        return Figure(f"{name}: found", of * joined, "%", compared)

    def likely(self, vector: NDArray[np.float32], near: set[int]) -> list[int]:
        cosines = self.vectors @ vector
        order = [int(n) for n in np.argsort(-cosines)[: lookalikes.NEAREST] if cosines[n] >= lookalikes.LIKELY_FROM]
        return [number for number in order if number not in near][: lookalikes.LIKELY]

    def is_copy(self, data: bytes, number: int) -> bool:
        from workers.ml.shared_view import Sight, shared_view

        start = time.perf_counter()
        view = shared_view(Sight(data), self.sights[number])
        self.seconds.append(time.perf_counter() - start)
        return bool(view) and Match((0, 1), 1.0, view.agrees, view.covers).is_copy

    def truly_shared(self, one: int, other: int) -> float:
        """The share of the smaller view that is in the other, on the slide."""
        a, b = self.views[one], self.views[other]
        width, height = (min(a.box[n + 2], b.box[n + 2]) - max(a.box[n], b.box[n]) for n in (0, 1))
        least = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a.box, b.box))
        return max(width, 0) * max(height, 0) / least if a.slide == b.slide else 0.0

    def milliseconds(self) -> float:
        return 1000 * percentiles(self.seconds)[0]


def jpeg(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def hashed(data: bytes) -> int:
    from workers.ml.perceptual import pdq

    return int.from_bytes(pdq(data).pdq)


# --- neighbouring tiles -------------------------------------------------------------------------


def neighbours(count: int) -> list[Figure]:
    """Two tiles side by side on a slide, or overlapping: compared whatever their vectors say."""
    from workers.ml.shared_view import Sight, shared_view

    studio = Studio(ROOT / "tests" / ".cache" / "wheels", SEED)
    figures = []
    for overlap in (0.0, 0.25, 0.5, 0.75):
        joined = pairs = 0
        for slide in UNSEEN:
            whole = studio._sources[slide]
            side = min(whole.size) // 4
            step = round(side * (1 - overlap))
            starts = [
                (x, y) for y in range(0, whole.height - side, step) for x in range(0, whole.width - side - step, step)
            ]
            for x, y in starts[:: max(1, len(starts) // count)][:count]:
                two = [whole.crop((left, y, left + side, y + side)).resize((480, 480)) for left in (x, x + step)]
                view = shared_view(*(Sight(jpeg(tile, 85)) for tile in two))
                joined += bool(view) and Match((0, 1), 1.0, view.agrees, view.covers).is_copy
                pairs += 1
        name = f"Neighbouring tiles, {100 * overlap:.0f} % in common: joined"
        figures.append(Figure(name, 100 * joined / pairs, "%", f"{pairs} pairs", at_most=0))
    return figures


# --- the nearest vectors ------------------------------------------------------------------------


def recall(ground: Ground, count: int) -> Figure:
    """Made vectors around as many middles as there are kinds of pictures, indexed as the product indexes them."""
    with ground.place() as environment:
        rng = np.random.default_rng(SEED)
        middles = rng.normal(size=(KINDS, WIDTH)).astype(np.float32)
        made = middles[rng.integers(KINDS, size=count)] + rng.normal(scale=0.7, size=(count, WIDTH)).astype(np.float32)
        with connected(environment["DATABASE_URL"]) as connection:
            connection.execute(
                f"""INSERT INTO encoder (name, source, model, width, kind, weights)
                VALUES ('bench', 'timm', 'bench', {WIDTH}, 'image', 'trained')"""
            )
            connection.execute(
                """INSERT INTO image (sha256, source_sha256, width, height, size)
                SELECT lpad(to_hex(n), 64, '0'), lpad(to_hex(n), 64, '0'), 1, 1, 1 FROM generate_series(1, %s) n""",
                (count,),
            )
            with connection.cursor().copy("COPY embedding (image_id, encoder_id, vec) FROM STDIN") as copy:
                for number, vector in enumerate(made, start=1):
                    copy.write_row((number, 1, as_text(vector)))
            connection.execute("SET maintenance_work_mem = '512MB'")
            connection.execute(
                f"CREATE INDEX ix_embedding_hnsw_1 ON embedding USING hnsw ((vec::vector({WIDTH})) vector_cosine_ops) "
                "WHERE encoder_id = 1"
            )
            connection.execute("VACUUM ANALYZE embedding")
        unit = made / np.linalg.norm(made, axis=1, keepdims=True)
        queries = [int(n) for n in rng.choice(count, size=100, replace=False)]
        truth = [np.argsort(-(unit @ unit[n]))[: lookalikes.NEAREST] + 1 for n in queries]
        found, p50 = in_fresh_process(environment, searched, [made[n] for n in queries])
    least = lookalikes.LIKELY + 1  # itself too
    shares = [len(set(mine) & set(its[:least].tolist())) / least for mine, its in zip(found, truth, strict=True)]
    name = f"Of {lookalikes.LIKELY} nearest among {count:,} vectors, those that the index finds"
    return Figure(name, 100 * float(np.mean(shares)), "%", f"{p50:.1f} ms a search, p50")


def searched(vectors: list[NDArray[np.float32]]) -> tuple[list[list[int]], float]:
    from app.db import transaction
    from app.tables import Encoder

    found, seconds = [], []
    with transaction() as session:
        encoder = session.get_one(Encoder, 1)
        session.execute(lookalikes.SEARCH)
        for vector in vectors:
            start = time.perf_counter()
            found.append([row[0] for row in session.execute(lookalikes.nearest(encoder, vector))])
            seconds.append(time.perf_counter() - start)
    return found, 1000 * percentiles(seconds)[0]
