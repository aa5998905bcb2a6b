"""Vectors of pictures end to end (store, decode, model, database) beside the model alone on the same pictures."""

import hashlib
import io
import random
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as Picture

from bench.figures import Figure
from bench.ground import Ground
from bench.memory import PeakMemory
from bench.processes import in_fresh_process

MODEL = "ViT-B-32"
PICTURES = 512
ROUND = 128  # model alone and end to end take turns, so that what else the machine does meets both
SIZE = (1080, 1350)  # a portrait post of Instagram


@dataclass(frozen=True)
class Made:
    alone: float
    end_to_end: float
    before: float
    peak_of_quarter: float
    peak: float
    device: str


def run(ground: Ground) -> list[Figure]:
    count = ground.count(PICTURES, least=2 * ROUND)
    with ground.place() as environment:
        pictures = store_pictures(Path(environment["IPATH_HOME"]) / "blobs", count)
        made = in_fresh_process(environment, measure, pictures)
    alone = f"{made.alone:.1f}/s for {MODEL} alone on {made.device}, decoded pictures"
    flat = f"{made.peak_of_quarter:.0f} MB after a quarter, {made.before:.0f} MB with the model loaded"
    return [
        Figure(f"{count:,} pictures of 1080 × 1350 embedded", made.end_to_end, "/s", alone),
        Figure("Share of the model's own rate", 100 * made.end_to_end / made.alone, "%", at_least=90),
        Figure("Peak memory", made.peak, "MB", flat),
    ]


def store_pictures(blobs: Path, count: int) -> list[str]:
    """The SHA-256 of pictures of about 540 kB where the blob store expects them."""
    made = []
    for number in range(count):
        noise = random.Random(number).randbytes(180 * 225 * 3)
        picture = Picture.frombytes("RGB", (180, 225), noise).resize(SIZE, Picture.Resampling.BICUBIC)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=90)
        sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
        path = blobs / sha256[:2] / sha256[2:4] / sha256
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())
        made.append(sha256)
    return made


def measure(shas: list[str]) -> Made:
    import torch

    from app.storage import blobs
    from workers.ml.encoder import EncoderSpec, load_encoder
    from workers.vectors import made_in_steps, write

    network = load_encoder(EncoderSpec("open_clip", MODEL))
    encoder, images, job = registered(network.width, shas)

    def embed(some: list[tuple[int, str]]) -> float:
        start = time.perf_counter()
        for made in made_in_steps(network, some):
            with job.step() as session:
                write(session, encoder, made.vectors)
        return time.perf_counter() - start

    def model_alone(some: list[tuple[int, str]]) -> float:
        pixels = [network._pixels(lambda sha256=sha256: blobs().get(sha256)) for _, sha256 in some]
        batches = [torch.stack(pixels[at : at + network.batch]) for at in range(0, len(pixels), network.batch)]
        start = time.perf_counter()
        for batch in batches:
            network._run(network.image_tower, batch)
        return time.perf_counter() - start

    embed(images[: network.batch])
    with PeakMemory() as quarter:
        embed(images[: len(images) // 4])
    with PeakMemory() as whole:
        embed(images)
    rounds = [images[at : at + ROUND] for at in range(0, len(images) - ROUND + 1, ROUND)]
    pairs = [(model_alone(some), embed(some)) for some in rounds]
    alone, end_to_end = (ROUND * len(rounds) / sum(seconds) for seconds in zip(*pairs, strict=True))
    return Made(alone, end_to_end, quarter.before, quarter.own, whole.own, network.device.type)


def registered(width: int, shas: list[str]):  # type: ignore[no-untyped-def]  # rows of a process that has the app
    from sqlalchemy import insert

    from app import jobs
    from app.db import transaction
    from app.tables import Encoder, EncoderKind, Image, Weights, WorkQueue

    with transaction() as session:
        kind = {"kind": EncoderKind.IMAGE_TEXT, "weights": Weights.RANDOM}
        encoder = Encoder(name="bench", source="open_clip", model=MODEL, width=width, **kind)
        session.add(encoder)
        session.flush()
        rows = [
            {"sha256": sha256, "source_sha256": sha256, "width": SIZE[0], "height": SIZE[1], "size": 1}
            for sha256 in shas
        ]
        ids = session.scalars(insert(Image).returning(Image.id, sort_by_parameter_order=True), rows).all()
        job = jobs.submit(session, "switch_encoder", WorkQueue.GPU, {"encoder": encoder.id})
    running = jobs.claim(job.id)
    assert running is not None
    running.heartbeat().__enter__()
    return encoder, list(zip(ids, shas, strict=True)), running
