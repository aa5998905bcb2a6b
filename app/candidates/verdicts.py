"""The findings table of a candidate: each stage's verdict at today's threshold, and what it rests on."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from app.curation.queries import Found
from app.prefilter.languages import language_name
from app.prefilter.policies import is_reviewed, passes
from app.prefilter.privacy import Action, counted, strongest
from app.prefilter.stages import STAGES
from app.prompts.proposals import RULES
from app.tables.prefilter import Outcome


@dataclass(frozen=True)
class Verdict:
    """A row of the table; `tone` is ok, bad, warn, info or none."""

    title: str
    word: str
    tone: str
    score: float | None
    evidence: str
    version: str


def verdicts(
    found: Mapping[str, Found],
    thresholds: Mapping[str, float | None],
    reviewed: Collection[str] | None = None,
    actions: Mapping[str, Mapping[str, str]] | None = None,
) -> list[Verdict]:
    """One row a stage that has looked at the candidate, in the order of the stages.

    `reviewed` are the languages whose captions go on to reviewers, None for all; `actions` say by stage what is done
    about kinds of private details.
    """
    return [
        _verdict(
            stage.title,
            found[stage.name],
            thresholds.get(stage.name) if stage.has_threshold else None,
            reviewed,
            (actions or {}).get(stage.name, {}),
        )
        for stage in STAGES
        if stage.name in found
    ]


def _verdict(
    title: str,
    found: Found,
    threshold: float | None,
    reviewed: Collection[str] | None,
    actions: Mapping[str, str],
) -> Verdict:
    word, tone = _word(found, 0.5 if found.stage == "sameness" else threshold, reviewed)
    if found.evidence.get("kinds") and actions and found.outcome == Outcome.OK:
        word, tone = DONE[strongest(found.evidence["kinds"], actions)]  # type: ignore[arg-type]  # evidence is JSON
    if found.stale:
        word, tone = f"{word}, runs again", "info"
    evidence = [_evidence(found), f"threshold {threshold:g}" if threshold else ""]
    version = f"{found.stage} {found.version}"
    return Verdict(title, word, tone, _score(found), ", ".join(part for part in evidence if part), version)


def _word(found: Found, threshold: float | None, reviewed: Collection[str] | None) -> tuple[str, str]:
    if found.outcome == Outcome.NOT_RUN:
        return "not run", "warn"
    if found.outcome == Outcome.ERROR:
        return "failed", "warn"
    if not passes(found.score, Outcome(found.outcome), threshold):
        return "stops", "bad"
    if found.stage == "language" and not is_reviewed(found.label, reviewed):
        return "stops", "bad"
    if found.stage == "caption" and found.evidence.get("removed"):
        return "cleaned", "info"
    return "pass", "ok"


def _score(found: Found) -> float | None:
    """A kept copy's 1 and a dropped one's 0 are no measure."""
    return None if found.stage == "sameness" else found.score


def _evidence(found: Found) -> str:
    if found.outcome == Outcome.ERROR:
        return f"the stage failed: {found.evidence.get('why') or found.evidence.get('error', 'unknown error')}"
    if found.outcome == Outcome.NOT_RUN:
        return str(found.evidence.get("why", ""))
    describe = EVIDENCE.get(found.stage)
    return describe(found.evidence, found.label or "") if describe else ""


def _quality(evidence: Mapping[str, Any], label: str) -> str:
    size = f"{evidence.get('width', '?')} × {evidence.get('height', '?')}"
    return f"{size}, sharpness {evidence.get('sharpness', 0):.0f}, {label}"


def _embedding(evidence: Mapping[str, Any], label: str) -> str:
    return f"{evidence.get('name', '')}, {label} weights"


def _sameness(evidence: Mapping[str, Any], label: str) -> str:
    copies = evidence.get("copies", 0)
    if not copies:
        return "no other copy"
    if label in ("copy", "likely copy"):
        return f"{label.replace('copy', 'a copy')} of C-{evidence.get('kept')}"
    return f"kept of {copies + 1} that look the same"


def _domain(evidence: Mapping[str, Any], _label: str) -> str:
    by, encoder = evidence.get("by", ""), evidence.get("encoder", "")
    judge = by if encoder in by else f"{by} on {encoder}"
    return f"{judge}, cross-validated as it learned from this picture" if evidence.get("held_out") else judge


def _caption(evidence: Mapping[str, Any], _label: str) -> str:
    kinds = evidence.get("kinds") or {}
    part = evidence.get("part")
    ours = [f"the part for image {part['image']} of {part['images']}"] if part else []
    out = "out: " + ", ".join(_many(kind, count) for kind, count in kinds.items()) if kinds else "nothing left out"
    return ", ".join([*ours, out])


def _panels(evidence: Mapping[str, Any], _label: str) -> str:
    counted: dict[str, int] = {}
    for box in evidence.get("boxes") or ():
        kind = {"interface": "interface bar"}.get(box["kind"], box["kind"])
        counted[kind] = counted.get(kind, 0) + 1
    parts = [_many(kind, count) for kind, count in counted.items()]
    return ", ".join([*parts, *(["a crop is offered"] if evidence.get("crop") else [])]) or "nothing but the image"


def _private(evidence: Mapping[str, Any], _label: str) -> str:
    return counted(evidence.get("kinds") or {}) or "nothing private"


def _language(_evidence: Mapping[str, Any], label: str) -> str:
    return language_name(label)


def _llm(evidence: Mapping[str, Any], label: str) -> str:
    unsupported = len(evidence.get("unsupported") or ())
    parts = [f"relevant: {label.replace('_', ' ')}"]
    if evidence.get("reason", "none") != "none":
        parts.append(str(evidence["reason"]).replace("_", " "))
    if evidence.get("rewrote"):
        struck = [RULES[name] for name in evidence.get("struck") or ()]
        why = "; ".join([f"support {evidence.get('support', 0):.0%}", *struck])
        parts.append(f"rewrote too much ({why}), so its caption is not offered")
    elif unsupported:
        parts.append("1 sentence" if unsupported == 1 else f"{unsupported} sentences")
        parts[-1] += " not in the original"
    return ", ".join([*parts, f"{evidence.get('model', '')}, prompt version {evidence.get('prompt', '?')}"])


def _alignment(evidence: Mapping[str, Any], _label: str) -> str:
    parts = [f"cosine {evidence.get('cosine', 0):.3f}"]
    if evidence.get("rank") is not None:
        parts.append(f"rank {evidence['rank']:g} of {evidence.get('negatives', 0) + 1} captions")
        parts.append(f"agrees in {evidence.get('agreement', 0):.0%} of turned views")
    return ", ".join(parts)


def _many(kind: str, count: int) -> str:
    return f"{count} {kind}{'s' if count > 1 and kind in COUNTED else ''}"


DONE = {
    Action.PASS: ("pass", "ok"),
    Action.WARN: ("found", "warn"),
    Action.REDACT: ("proposes", "info"),
    Action.HOLD: ("holds", "bad"),
}
COUNTED = ("hashtag", "mention", "link", "question", "promotion", "border", "interface bar", "panel", "arrow")

EVIDENCE: Mapping[str, Callable[[Mapping[str, Any], str], str]] = {
    "quality": _quality,
    "embedding": _embedding,
    "sameness": _sameness,
    "domain": _domain,
    "panels": _panels,
    "faces": _private,
    "writing": _private,
    "caption": _caption,
    "private": _private,
    "language": _language,
    "llm": _llm,
    "alignment": _alignment,
}
