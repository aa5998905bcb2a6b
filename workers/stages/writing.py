"""Writing: words burned into the picture, and what private details are among them, by the rules for captions."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from app.jobs import RunningJob
from app.prefilter.policies import StageInput, StageResult
from app.prefilter.privacy import PrivateKind
from app.storage import blobs

if TYPE_CHECKING:
    from workers.ml.writing import Line


def looked_at(item: StageInput, setting: dict[str, Any]) -> tuple[object, ...]:
    return (item.image_sha256,)


def run(batch: list[StageInput], setting: dict[str, Any], job: RunningJob) -> list[StageResult]:
    """A result a candidate: a box a line and kind in fractions of the picture; the words are kept as evidence text."""
    from workers.ml import writing
    from workers.ml.pictures import of_each

    found = of_each(writing.find, [blobs().get(item.image_sha256) for item in batch])
    return [_result(item.candidate_id, lines) for item, lines in zip(batch, found, strict=True)]


def _result(candidate_id: int, lines: list["Line"]) -> StageResult:
    words, kinds = told_apart(lines)
    boxes = [_box(line, kind) for line, of_line in zip(lines, kinds, strict=True) for kind in of_line]
    evidence = {"boxes": boxes, "kinds": dict(Counter(box["kind"] for box in boxes))}
    return StageResult(candidate_id, label="writing" if boxes else "no writing", evidence=evidence, words=words)


def told_apart(lines: list["Line"]) -> tuple[str, list[list[PrivateKind]]]:
    """All that the lines say, and the kinds of private details in each; `writing` for a line that has none.

    Lines beside each other are read as one, so that a number is seen with the word before it.
    """
    from app.prefilter import private_details

    words, starts = "", []
    for number, line in enumerate(lines):
        if number:
            words += " " if lines[number - 1].goes_on(line) else "\n"
        starts.append(len(words))
        words += line.text
    details = private_details.find(words)
    kinds = []
    for start, line in zip(starts, lines, strict=True):
        end = start + len(line.text)
        kinds.append(sorted({detail.kind for detail in details if detail.start < end and start < detail.end}))
    return words, [of_line or [PrivateKind.WRITING] for of_line in kinds]


def _box(line: "Line", kind: PrivateKind) -> dict[str, Any]:
    sides = {side: round(getattr(line, side), 4) for side in ("x", "y", "width", "height")}
    return {"kind": kind.value, **sides, "score": round(line.score, 4)}
