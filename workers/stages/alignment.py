"""Alignment: whether caption and picture belong together, by the CLIP in use.

Only a CLIP with trained weights can tell; else it is not run, and says so. Its threshold is 0 until an admin moves it.
"""

from collections import OrderedDict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from app.db import transaction
from app.jobs import RunningJob
from app.prefilter import queries
from app.prefilter.policies import StageInput, StageResult
from app.storage import blobs
from app.tables import Encoder, EncoderKind, Outcome, Weights
from workers.vectors import Vectors, load, vectors_of

if TYPE_CHECKING:
    from workers.ml.alignment import Alignment

SAMPLE = 256  # captions of other posts, of which the nearest are the hard negatives
NO_CLIP = "the encoder in use has no text side with trained weights"
NO_CAPTION = "there is no caption"


def looked_at(item: StageInput, setting: dict[str, Any]) -> tuple[object, ...]:
    return item.image_sha256, item.offered_id, setting.get("encoder")


def run(batch: list[StageInput], setting: dict[str, Any], job: RunningJob) -> list[StageResult]:
    """A result a candidate: 2.5 × cosine of picture and caption on offer, 0 to 1; the raw figures are evidence."""
    with transaction() as session:
        encoder = session.get(Encoder, setting["encoder"]) if setting.get("encoder") else None
    if encoder is None or encoder.kind is not EncoderKind.IMAGE_TEXT or encoder.weights is not Weights.TRAINED:
        return [_not_run(item, NO_CLIP) for item in batch]
    with_text = [item for item in batch if item.offered.strip()]
    results = [_not_run(item, NO_CAPTION) for item in batch if not item.offered.strip()]
    return results + (_aligned(with_text, encoder, job) if with_text else [])


def _not_run(item: StageInput, why: str) -> StageResult:
    return StageResult(item.candidate_id, Outcome.NOT_RUN, evidence={"why": why})


def _aligned(batch: list[StageInput], encoder: Encoder, job: RunningJob) -> list[StageResult]:
    from workers.ml.alignment import TURNS, align, turned_copies

    with transaction() as session:
        sample = queries.sample_captions(session, SAMPLE)
    network = load(encoder)
    upright = vectors_of(job, encoder, [(item.image_id, item.image_sha256) for item in batch])
    copies = [turned_copies(blobs().get(item.image_sha256), network.image_size) for item in batch]
    turned = network.embed_images([copy for three in copies for copy in three]).reshape(len(batch), len(TURNS), -1)
    own = network.embed_texts([item.offered for item in batch])
    others = _vectors_of_texts(encoder, sample)
    results = []
    for number, item in enumerate(batch):
        foreign = [one.text != item.offered and one.post_id != item.post_id for one in sample]
        views = np.concatenate([upright[number : number + 1], turned[number]])
        results.append(_result(item, align(views, own[number], others[foreign]), encoder))
    return results


def _result(item: StageInput, found: "Alignment", encoder: Encoder) -> StageResult:
    return StageResult(
        item.candidate_id, score=round(found.score, 6), evidence={**asdict(found), "encoder": encoder.name}
    )


_known: OrderedDict[tuple[int, str], Vectors] = OrderedDict()  # the sample hardly changes from batch to batch


def _vectors_of_texts(encoder: Encoder, sample: list[queries.SampleCaption]) -> Vectors:
    """Float32 [n, width] of the sample's captions, embedded once a process."""
    keys = [(encoder.id, one.sha256) for one in sample]
    missing = {key: one.text for key, one in zip(keys, sample, strict=True) if key not in _known}
    if missing:
        made = load(encoder).embed_texts(list(missing.values()))
        _known.update(zip(missing, made, strict=True))
    vectors = np.array([_known[key] for key in keys], dtype=np.float32).reshape(len(keys), encoder.width)
    while len(_known) > 4 * SAMPLE:
        _known.popitem(last=False)
    return vectors
