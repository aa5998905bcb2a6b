"""Sameness: the picture's PDQ hash, and the views that it shares with pictures like it.

Groups and kept copies are found where the finding is written.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.db import transaction
from app.encoders.actions import ask_for_index
from app.jobs import RunningJob
from app.prefilter import lookalikes, pdq, queries
from app.prefilter.grouping import Match
from app.prefilter.lookalikes import Likely
from app.prefilter.policies import StageInput, StageResult
from app.prefilter.sameness import radius_of
from app.storage import blobs
from app.tables import Encoder, Weights
from workers.vectors import embed, register_efficientnet

if TYPE_CHECKING:
    from workers.ml.shared_view import Sight

TURNED = {True: "mirrored", False: ""}


def looked_at(item: StageInput, setting: dict[str, Any]) -> None:
    """What it looks at is the whole group, known only when the finding is written."""
    return


def run(batch: list[StageInput], setting: dict[str, Any], job: RunningJob) -> list[StageResult]:
    """A result a candidate with its 256-bit hash as text of 0 and 1, and the views that others share."""
    from workers.ml.perceptual import pdq as hashed

    results = []
    for item in batch:
        found = hashed(blobs().get(item.image_sha256))
        bits = f"{int.from_bytes(found.pdq):0256b}"
        evidence = {"content": round(found.content, 3)}
        results.append(StageResult(item.candidate_id, evidence=evidence, pdq=bits, pdq_quality=found.quality))
    if batch:
        _look_for_views(batch, results, job)
    return results


def _look_for_views(batch: list[StageInput], results: list[StageResult], job: RunningJob) -> None:
    """Compares each picture with those whose vectors are nearest. One that has no vector is grouped by its hash."""
    encoder = _encoder(job)
    embed(job, encoder, [(item.image_id, item.image_sha256) for item in batch])
    with job.step() as session:
        ask_for_index(session, encoder)
        radius = radius_of(queries.stage_row(session, "sameness"))
        likely = {
            item.image_id: lookalikes.likely(
                session, encoder, item.image_id, pdq.telling(result.pdq, result.pdq_quality), radius
            )
            for item, result in zip(batch, results, strict=True)
        }
    seen: dict[str, Sight | None] = {}
    for item, result in zip(batch, results, strict=True):
        result.matches = _matches(item, likely.pop(item.image_id, []), seen)
        job.check()


def _encoder(job: RunningJob) -> Encoder:
    """The one in use where it has learned anything; else the one whose weights come in a package."""
    with transaction() as session:
        used = queries.encoder_in_use(session)
    return used if used and used.weights is Weights.TRAINED else register_efficientnet(job)


def _matches(item: StageInput, likely: list[Likely], seen: dict[str, "Sight | None"]) -> list[Match]:
    """`seen` holds the pictures of this batch that were looked at, by their SHA-256."""
    from workers.ml.shared_view import shared_view

    mine = _sight(item.image_sha256, seen) if likely else None
    found = []
    for other in likely if mine else ():
        its = _sight(other.sha256, seen)
        view = shared_view(mine, its) if mine and its else None
        if view:
            evidence = {"points": view.points, "turned": TURNED[view.is_mirrored], "boxes": view.boxes}
            found.append(_match(item.image_id, other, view.agrees, view.covers, evidence))
    return [match for match in found if match.is_copy]


def _match(
    image_id: int, other: Likely, agrees: float, covers: tuple[float, float], evidence: Mapping[str, Any]
) -> Match:
    """The view as it is stored: of the image with the lower number first."""
    cosine, agrees = round(other.cosine, 3), round(agrees, 3)
    covers = round(covers[0], 3), round(covers[1], 3)
    if image_id < other.image_id:
        return Match((image_id, other.image_id), cosine, agrees, covers, dict(evidence))
    turned = {**evidence, "boxes": evidence["boxes"][::-1]}
    return Match((other.image_id, image_id), cosine, agrees, covers[::-1], turned)


def _sight(sha256: str, seen: dict[str, "Sight | None"]) -> "Sight | None":
    """None for a picture that is lost or can't be read: its own stages say so."""
    from workers.ml.shared_view import Sight

    if sha256 not in seen:
        try:
            seen[sha256] = Sight(blobs().get(sha256))
        except OSError:
            seen[sha256] = None
    return seen[sha256]
