"""Language model: relevance, a cleaner caption and its fields.

It accepts nothing: its score is held against a line as every stage's is, or only puts the queue in order, and its
caption is offered to reviewers where it says what the one before it says.
"""

from typing import TYPE_CHECKING, Any

from app.db import transaction
from app.endpoints import queries as endpoints
from app.jobs import RunningJob
from app.prefilter import queries
from app.prefilter.policies import Offer, StageInput, StageResult
from app.prompts import actions, sendable
from app.prompts.answers import UNKNOWN, Answer, visible
from app.prompts.policies import Wanted
from app.prompts.proposals import Proposal, judged
from app.prompts.sendable import NOTHING_LEFT
from app.prompts.trials import base_of
from app.tables import CaptionKind, Outcome
from workers import silence

if TYPE_CHECKING:
    from workers.asking import Answered, Side

NO_MODEL = "no language model is set up"
NO_CAPTION = "there is no caption"
ALL_PRIVATE = "the caption is nothing but private details, so it is not sent"
UNCHECKED = "private details were not looked for in the caption, so it is not sent"


def looked_at(item: StageInput, setting: dict[str, Any]) -> tuple[object, ...]:
    wanted, before = Wanted.read(setting), item.before("llm")
    picture = item.image_sha256 if wanted.with_picture else ""
    return _model(wanted), wanted.prompt, wanted.min_support, before.id if before else None, picture


def _model(wanted: Wanted) -> str:
    if wanted.endpoint is None:
        return ""
    with transaction() as session:
        endpoint = endpoints.endpoint(session, wanted.endpoint)
        return f"{endpoint.id} {endpoint.model}"


def run(batch: list[StageInput], setting: dict[str, Any], job: RunningJob) -> list[StageResult]:
    """A result a candidate that was asked about; who has none is asked about in another batch.

    Raises Wait when the model answers nothing.
    """
    wanted = Wanted.read(setting)
    if wanted.endpoint is None or wanted.prompt is None:
        return [_not_run(item, NO_MODEL) for item in batch]
    from workers.asking import ask, side

    kept_back = _kept_back(batch)
    results = [_not_run(item, why) for item in batch if (why := kept_back.get(item.candidate_id))]
    asked_about = [item for item in batch if item.candidate_id not in kept_back]
    asked_of = side(wanted.endpoint, wanted.prompt, with_picture=wanted.with_picture)
    found = ask(asked_of, asked_about, job, wanted.budget)
    if found.down and not found.answered:
        silence.wait(job, wanted.endpoint, found.down.retry_after)
    heard = [(item, given) for item in asked_about if (given := found.answered.get(item.candidate_id))]
    return results + [_result(item, asked_of, given, wanted.min_support) for item, given in heard]


def _kept_back(batch: list[StageInput]) -> dict[int, str]:
    """Candidate → why the model is not asked about it."""
    ids = [item.candidate_id for item in batch]
    with transaction() as session:
        private = queries.labelled(session, "private", NOTHING_LEFT, ids)
        unchecked = sendable.unchecked(session, ids)
    without = {item.candidate_id: NO_CAPTION for item in batch if not base_of(item).strip()}
    return dict.fromkeys(unchecked, UNCHECKED) | dict.fromkeys(private, ALL_PRIVATE) | without


def _not_run(item: StageInput, why: str) -> StageResult:
    return StageResult(item.candidate_id, Outcome.NOT_RUN, evidence={"why": why})


def _result(item: StageInput, asked_of: "Side", given: "Answered", min_support: float) -> StageResult:
    evidence = {
        "endpoint": asked_of.endpoint.id,
        "model": given.model or asked_of.endpoint.model,
        "prompt": asked_of.prompt.version,
        "picture": given.with_picture,
        "tokens_in": given.tokens_in,
        "tokens_out": given.tokens_out,
        "cost": given.cost,
        "cached": given.is_cached,
    }
    base = base_of(item)
    if given.answer is None:
        return StageResult(
            item.candidate_id, Outcome.ERROR, evidence=evidence | {"why": given.why}, offers=_offers(item, base, "")
        )
    proposal = judged(base, given.answer.caption, min_support)
    evidence |= _said(given.answer, proposal) | {"answer": given.text_id, "rung": given.rung.value}
    evidence |= _diagnosis(item, given.answer)
    text = base if proposal.rewrote or not proposal.text else proposal.text
    offers = _offers(item, text, f"llm {asked_of.prompt.version}")
    return StageResult(
        item.candidate_id, Outcome.OK, given.answer.score, given.answer.relevant, evidence, offers=offers
    )


def _said(answer: Answer, proposal: Proposal) -> dict[str, Any]:
    return {
        "reason": answer.reason,
        "fields": answer.fields,
        "language": None if answer.language == UNKNOWN else answer.language,
        "support": proposal.support,
        "unsupported": proposal.unsupported,
        "rewrote": proposal.rewrote,
        "struck": proposal.struck,
        "proposed": bool(proposal.text) and not proposal.rewrote,
    }


def _diagnosis(item: StageInput, answer: Answer) -> dict[str, int]:
    """Words of the post stand in evidence by the id of where they are kept."""
    words = visible(answer.diagnosis).strip()
    if not words or words.casefold() == UNKNOWN:
        return {}
    with transaction() as session:
        return {"diagnosis": actions.keep_text(session, item.candidate_id, words)}


def _offers(item: StageInput, text: str, made_by: str) -> tuple[Offer, ...]:
    before = item.before("llm")
    return (Offer(CaptionKind.PROPOSED, text, made_by, before.id),) if before else ()
