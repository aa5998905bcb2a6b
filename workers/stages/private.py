"""Private details: what in the caption may identify a patient, and a caption without what the setting takes out."""

from collections import Counter
from typing import Any

from app.jobs import RunningJob
from app.prefilter import private_details
from app.prefilter.languages import LANGUAGES, UNDETERMINED
from app.prefilter.policies import Offer, StageInput, StageResult, Version
from app.prefilter.privacy import PrivateKind
from app.prefilter.private_details import Detail
from app.tables import CaptionKind

NOTHING_LEFT = "nothing left"


def looked_at(item: StageInput, setting: dict[str, Any]) -> tuple[object, ...]:
    base = _base(item)
    return (base.id if base else None, private_details.VERSION, item.handle, *sorted(_actions(setting).items()))


def run(batch: list[StageInput], setting: dict[str, Any], job: RunningJob) -> list[StageResult]:
    """A result a candidate: the details with their places in the caption, never their words."""
    return [_result(item, _actions(setting)) for item in batch]


def _actions(setting: dict[str, Any]) -> dict[str, str]:
    actions: dict[str, str] = setting.get("actions", {})
    return actions


def _base(item: StageInput) -> Version | None:
    """The caption before this stage and the language model put theirs on offer."""
    return item.before("private", "llm")


def _result(item: StageInput, actions: dict[str, str]) -> StageResult:
    base = _base(item)
    if base is None:
        return StageResult(item.candidate_id, evidence={"spans": [], "kinds": {}})
    details = private_details.with_own_handle(base.text, details_in(base.text), item.handle)
    text = private_details.proposal(base.text, details, actions)
    evidence = {
        "caption": base.id,
        "spans": [{"start": detail.start, "end": detail.end, "kind": detail.kind.value} for detail in details],
        "kinds": dict(Counter(detail.kind.value for detail in details)),
    }
    offer = Offer(CaptionKind.PROPOSED, text or base.text, private_details.MADE_BY, base.id)
    label = NOTHING_LEFT if base.text and not text else None
    return StageResult(item.candidate_id, label=label, evidence=evidence, offers=[offer])


def details_in(text: str) -> list[Detail]:
    """What rules find in any language, and what the English model finds in English."""
    from workers.ml import language, names

    found = private_details.find(text)
    code, _ = language.identify(text, LANGUAGES)
    if code in ("en", UNDETERMINED):
        found += [Detail(start, end, PrivateKind(kind)) for kind, start, end in names.find(text)]
    return private_details.merged(found)
