"""Panels and overlays: what of the picture is not the image. It drops nothing; a crop is offered to the reviewer."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from app.jobs import RunningJob
from app.prefilter.policies import StageInput, StageResult
from app.storage import blobs

if TYPE_CHECKING:
    from workers.ml.panels import Box


def looked_at(item: StageInput, setting: dict[str, Any]) -> tuple[object, ...]:
    return (item.image_sha256,)


def run(batch: list[StageInput], setting: dict[str, Any], job: RunningJob) -> list[StageResult]:
    """A result a candidate: boxes with kind and confidence, and the crop without borders, in picture fractions."""
    from workers.ml import layout

    results = []
    for item in batch:
        found = layout.find(blobs().get(item.image_sha256))
        evidence: dict[str, Any] = {"boxes": [_rounded(box) for box in found.boxes]}
        if found.crop:
            evidence["crop"] = _rounded(found.crop, without=("kind",))
        results.append(StageResult(item.candidate_id, label=_label(found.boxes), evidence=evidence))
    return results


def _label(boxes: list["Box"]) -> str:
    """What the picture is, by what tells most: a screenshot may hold a collage."""
    kinds = {box.kind for box in boxes}
    names = (("interface", "screenshot"), ("panel", "panels"), ("border", "border"))
    return next((name for kind, name in names if kind in kinds), "overlays" if kinds else "image")


def _rounded(box: "Box", without: tuple[str, ...] = ()) -> dict[str, Any]:
    values = {name: value for name, value in asdict(box).items() if name not in without}
    return {name: value if isinstance(value, str) else round(value, 4) for name, value in values.items()}
