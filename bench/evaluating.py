"""Evaluation beside the ways it is usually done: pictures to features, kept features, a linear probe, retrieval."""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image as Picture

from bench.figures import Figure
from bench.ground import Ground
from bench.memory import PeakMemory
from bench.processes import in_fresh_process

MODEL = "ViT-B-32"
SIZES = {"768 × 768": (768, 768), "2048 × 1536": (2048, 1536)}  # as LC25000's and OSCC's JPEGs
PICTURES, ROUNDS = 512, 2  # so that each of CLIP_benchmark's loaders has a batch in a round
BATCH, LOADERS = 64, 4  # CLIP_benchmark's own defaults
ROWS, WIDTH, CLASSES = 100_000, 512, 9
PAIRS = 5_000


@dataclass(frozen=True)
class Embedded:
    ours: float  # pictures a second
    theirs: float
    cosine: float  # the least between a picture's features here and there
    first: float  # seconds for the features and the answers of a zero-shot task
    second: float


@dataclass(frozen=True)
class Probed:
    ours: float  # seconds for one fit
    theirs: float
    ours_loss: float
    theirs_loss: float
    search: float
    matrix: float  # MB
    added: float


def run(ground: Ground) -> list[Figure]:
    figures = []
    for name, size in SIZES.items():
        with ground.folder_of("pictures") as folder:
            count = ground.count(PICTURES, least=BATCH)
            made = in_fresh_process({}, embedded, str(folder), count, size)
        figures += _of_pictures(name, count, made)
    rows = ground.count(ROWS, least=2_000)
    figures += _of_probe(rows, in_fresh_process({}, probed, rows))
    pairs = ground.count(PAIRS, least=500)
    seconds = in_fresh_process({}, retrieved, pairs)
    return [*figures, Figure(f"Retrieval, {pairs:,} × {pairs:,}, both directions", seconds, "s", at_most=1)]


def _of_pictures(name: str, count: int, made: Embedded) -> list[Figure]:
    way = f"{made.theirs:.1f}/s in CLIP_benchmark's way, least cosine {made.cosine:.4f}"
    took = f"{made.second:.3f} s, the first {made.first:.1f} s"
    return [
        Figure(f"{count:,} JPEGs of {name} to features, {MODEL}", made.ours, "/s", way),
        Figure("The same, times as fast", made.ours / made.theirs, "", at_least=1.7),
        Figure("Features of a second task on these, times as fast", made.first / made.second, "", took, at_least=50),
    ]


def _of_probe(rows: int, made: Probed) -> list[Figure]:
    loss = f"{made.theirs:.1f} s by scikit-learn's default, held-out loss {made.theirs_loss:.4f}"
    return [
        Figure(f"Linear probe on {rows:,} × {WIDTH}, one C, loss {made.ours_loss:.4f}", made.ours, "s", loss),
        Figure("The same, times as fast", made.theirs / made.ours, "", at_least=1),
        Figure("Linear probe with C by 5-fold", made.search, "s"),
        Figure("Memory that it adds", made.added, "MB", f"{made.matrix:.0f} MB of features"),
    ]


# --- pictures -----------------------------------------------------------------------------------


def embedded(folder: str, count: int, size: tuple[int, int]) -> Embedded:
    from workers.evaluating.features import features
    from workers.ml.encoder import EncoderSpec, load_encoder

    paths = [_drawn(Path(folder) / f"{number:05}.jpg", number, size) for number in range(count)]
    network = load_encoder(EncoderSpec("open_clip", MODEL))
    network.embed_images([paths[0].read_bytes()] * network.batch)
    parts = np.array_split(np.arange(count), ROUNDS)
    seconds: dict[str, float] = {"ours": 0, "theirs": 0}
    rows: dict[str, list[Any]] = {"ours": [], "theirs": []}
    for part in parts:  # they take turns, so that what else the machine does meets both
        some = [paths[at] for at in part]
        pictures = [(path.name, path.read_bytes) for path in some]
        for way, make in (
            ("theirs", partial(_as_clip_benchmark, network, some)),
            ("ours", lambda pictures=pictures: features(network, pictures, cache=None).vectors),
        ):
            start = time.perf_counter()
            rows[way].append(make())
            seconds[way] += time.perf_counter() - start
    ours, theirs = (_units(np.concatenate(some)) for some in rows.values())
    first, second = _two_tasks(network, [(path.name, path.read_bytes) for path in paths])
    rate = {way: count / took for way, took in seconds.items()}
    return Embedded(rate["ours"], rate["theirs"], float((ours * theirs).sum(1).min()), first, second)


@dataclass(frozen=True)
class Pictures:
    """A data set as a DataLoader takes it: whole pictures, decoded one by one."""

    paths: list[Path]
    transform: Callable[[Any], Any]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, at: int) -> Any:
        return self.transform(Picture.open(self.paths[at]).convert("RGB"))


def _as_clip_benchmark(network: Any, paths: list[Path]) -> Any:
    """Its loop in words of ours: a DataLoader with its defaults, batch by batch."""
    import torch

    taken: Any = Pictures(paths, network.transform)  # a Dataset in all but its class
    loader: Any = torch.utils.data.DataLoader(
        taken, batch_size=BATCH, num_workers=LOADERS, multiprocessing_context="fork"
    )
    with torch.no_grad():
        return np.concatenate([network.image_tower(batch).float().numpy() for batch in loader])


def _two_tasks(network: Any, pictures: list[tuple[str, Callable[[], bytes]]]) -> tuple[float, float]:
    """Seconds for features and answers of a zero-shot task with an empty cache, and of another on the same set."""
    from workers.evaluating.features import features
    from workers.evaluating.zero_shot import answer

    classes = _units(np.random.default_rng(0).normal(size=(CLASSES, network.width)).astype(np.float32))
    with TemporaryDirectory() as cache:

        def task() -> float:
            start = time.perf_counter()
            answer(features(network, pictures, cache=Path(cache)).vectors, classes, network.logit_scale)
            return time.perf_counter() - start

        return task(), task()


def _drawn(path: Path, seed: int, size: tuple[int, int]) -> Path:
    """Smoothed noise, about as many bytes as a micrograph of that size."""
    noise = np.random.default_rng(seed).integers(0, 255, (size[1] // 6, size[0] // 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Picture.fromarray(noise).resize(size, Picture.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    path.write_bytes(buffer.getvalue())
    return path


def _units(rows: Any) -> Any:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# --- probe and retrieval ------------------------------------------------------------------------


def probed(count: int) -> Probed:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    from workers.evaluating.probing import fitted, probe

    rows, labels = features_like_clips(count + 2_000)
    train, test = rows[:count], rows[count:]
    units, others = _units(train), _units(test)
    truth = labels[count:]
    start = time.perf_counter()
    with PeakMemory() as memory:
        found = probe(train, labels[:count], test, CLASSES)
    search, strength = time.perf_counter() - start, found.settings["C"]
    start = time.perf_counter()
    ours = fitted(units.copy(), labels[:count], strength).model
    middle = time.perf_counter()
    theirs = LogisticRegression(C=strength, max_iter=1_000).fit(units, labels[:count])
    end = time.perf_counter()
    losses = [float(log_loss(truth, model.predict_proba(others))) for model in (ours, theirs)]
    added = memory.own - memory.before
    return Probed(middle - start, end - middle, losses[0], losses[1], search, train.nbytes / 1e6, added)


def features_like_clips(count: int) -> tuple[Any, Any]:
    """Rows that all point one way and vary along few directions; classes nearly separate, a few labels are wrong."""
    rng = np.random.default_rng(0)
    spectrum = np.exp(-np.arange(WIDTH) / 120)[:, None]
    mixing = (rng.normal(size=(WIDTH, WIDTH)) / np.sqrt(WIDTH) * spectrum).astype(np.float32)
    centres = (rng.normal(size=(CLASSES, WIDTH)) * 0.5).astype(np.float32)
    labels = rng.integers(0, CLASSES, count)
    direction = rng.normal(size=WIDTH).astype(np.float32) * 3
    rows = (rng.standard_normal((count, WIDTH), dtype=np.float32) + centres[labels]) @ mixing + direction
    wrong = rng.random(count) < 0.05
    labels[wrong] = rng.integers(0, CLASSES, int(wrong.sum()))
    return rows, labels


def retrieved(count: int) -> float:
    from workers.ml.retrieval import retrieval

    rng = np.random.default_rng(0)
    images = _units(rng.standard_normal((count, WIDTH), dtype=np.float32))
    texts = _units(images + rng.standard_normal((count, WIDTH), dtype=np.float32) * 0.2)
    labels = [[("post", number // 2)] for number in range(count)]
    start = time.perf_counter()
    retrieval(images, texts, labels, [number // 10 for number in range(count)])
    return time.perf_counter() - start
