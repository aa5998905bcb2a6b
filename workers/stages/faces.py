"""Faces: people in the picture who could be recognised."""

from typing import Any

from app.jobs import RunningJob
from app.prefilter.policies import StageInput, StageResult
from app.prefilter.privacy import PrivateKind
from app.storage import blobs


def looked_at(item: StageInput, setting: dict[str, Any]) -> tuple[object, ...]:
    return (item.image_sha256,)


def run(batch: list[StageInput], setting: dict[str, Any], job: RunningJob) -> list[StageResult]:
    """A result a candidate: a box a face in fractions of the picture, with how sure the network is of it."""
    from workers.ml import faces
    from workers.ml.pictures import of_each

    results = []
    in_each = of_each(faces.find, [blobs().get(item.image_sha256) for item in batch])
    for item, found in zip(batch, in_each, strict=True):
        boxes = [
            {
                "kind": PrivateKind.FACE.value,
                **{side: round(getattr(face, side), 4) for side in ("x", "y", "width", "height")},
                "score": round(face.score, 4),
            }
            for face in found
        ]
        kinds = {PrivateKind.FACE.value: len(boxes)} if boxes else {}
        label = "faces" if boxes else "no faces"
        results.append(StageResult(item.candidate_id, label=label, evidence={"boxes": boxes, "kinds": kinds}))
    return results
