"""Findings as the chips that a reviewer reads: a word, a figure, a tone; and as boxes on the picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.curation.queries import Found
from app.prefilter.languages import LANGUAGES, language_name
from app.prefilter.privacy import Action, counted
from app.prefilter.stages import BY_NAME

Actions = Mapping[str, str]

LET_THROUGH = "let through by an admin"
OF_TEXT = {Action.WARN: "left in, check", Action.REDACT: "left out", Action.HOLD: f"left out, {LET_THROUGH}"}
OF_PICTURE = {Action.WARN: "check", Action.REDACT: "to be covered", Action.HOLD: LET_THROUGH}


@dataclass(frozen=True)
class Chip:
    text: str
    value: str = ""
    tone: str = ""
    icon: str = ""


def chips(
    found: Mapping[str, Found], thresholds: Mapping[str, float | None], actions: Mapping[str, Actions]
) -> list[Chip]:
    """What the stages have to say, in their order; `actions` say by stage what is done about private details."""
    made = [_domain(found.get("domain"), thresholds.get("domain")), _sameness(found.get("sameness"))]
    made += [_panels(found.get("panels")), *_private(found, "faces", actions), *_private(found, "writing", actions)]
    made += [_caption(found.get("caption")), *_private(found, "private", actions)]
    made += [_language(found.get("language")), _llm(found.get("llm"), thresholds.get("llm"))]
    made += [_alignment(found.get("alignment"), thresholds.get("alignment")), _quality(found.get("quality"))]
    return [chip for chip in made if chip]


def _domain(found: Found | None, threshold: float | None) -> Chip | None:
    if found is None:
        return None
    if found.outcome != "ok" or found.score is None:
        return Chip("Histology not checked")
    sure = threshold is None or found.score >= threshold
    return Chip("Histology", f"{found.score:.2f}", "ok" if sure else "warn", "check" if sure else "alert")


def _sameness(found: Found | None) -> Chip | None:
    if found is None or found.outcome != "ok":
        return None
    copies = found.evidence.get("copies", 0)
    many = "1 copy" if copies == 1 else f"{copies} copies"
    return Chip(many, tone="warn", icon="copies") if copies else Chip("No duplicate")


def _caption(found: Found | None) -> Chip | None:
    if found is None or found.outcome != "ok":
        return None
    if "part" in found.evidence:
        return Chip("This image's part of the caption", icon="edit")
    return Chip("Caption cleaned by rules", icon="edit") if found.evidence.get("removed") else None


def _private(found: Mapping[str, Found], stage: str, actions: Mapping[str, Actions]) -> list[Chip]:
    """One chip for each thing that is done about the kinds that a stage found, or that it could not look."""
    one = found.get(stage)
    if one and one.outcome != "ok":
        return [Chip(f"{BY_NAME[stage].title} not checked", tone="warn", icon="alert")]
    listed = one.evidence.get("kinds") if one else None
    kinds: dict[str, int] = listed if isinstance(listed, dict) else {}
    made = []
    for action, says in (OF_TEXT if stage == "private" else OF_PICTURE).items():
        of_it = {kind: count for kind, count in kinds.items() if actions.get(stage, {}).get(kind) == action}
        made += [Chip(counted(of_it), says, "warn", "alert")] if of_it else []
    return made


def _panels(found: Found | None) -> Chip | None:
    if found is None or found.outcome != "ok":
        return None
    count = sum(box["kind"] == "panel" for box in boxes(found))
    named = {"screenshot": "Screenshot", "panels": f"{count} panels", "border": "Border", "overlays": "Marks on it"}
    return Chip(named[found.label], tone="warn", icon="image") if found.label in named else None


def boxes(found: Found | None) -> list[dict[str, Any]]:
    """The boxes that a stage found, in fractions of the picture."""
    listed = found.evidence.get("boxes") if found and found.outcome == "ok" else None
    return listed if isinstance(listed, list) else []


def boxes_of_note(found: Mapping[str, Found], actions: Mapping[str, Actions]) -> list[dict[str, Any]]:
    """The boxes of panels, and those of faces and writing of kinds about which something is done."""
    private = [(actions.get(stage, {}), box) for stage in ("writing", "faces") for box in boxes(found.get(stage))]
    noted = [box for of_stage, box in private if of_stage.get(box["kind"], Action.PASS) != Action.PASS]
    return [*boxes(found.get("panels")), *noted]


def _language(found: Found | None) -> Chip | None:
    if found is None or found.outcome != "ok" or found.label not in LANGUAGES:
        return None
    return Chip(language_name(found.label))


def _llm(found: Found | None, threshold: float | None) -> Chip | None:
    if found is None or found.outcome != "ok" or found.score is None or not found.label:
        return None
    doubts = found.score < max(threshold or 0.0, 0.5)
    return Chip("Relevant, by the LLM", found.label.replace("_", " "), "warn" if doubts else "")


def _alignment(found: Found | None, threshold: float | None) -> Chip | None:
    if found is None or found.outcome != "ok" or found.score is None:
        return None
    return Chip("Alignment", f"{found.score:.2f}", "ok" if threshold and found.score >= threshold else "")


def _quality(found: Found | None) -> Chip | None:
    if found is None or found.outcome != "ok":
        return None
    return Chip("Blurred", tone="warn", icon="alert") if found.label == "blurred" else None
