"""What a trial found: each candidate's answers side by side, and models held against what people decided."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.curation.vocabulary import FIELDS, label
from app.prefilter.caption_diff import Piece, distance, word_diff
from app.prefilter.languages import language_name
from app.prefilter.policies import StageInput
from app.prefilter.proof import Estimate
from app.prefilter.queries import inputs
from app.prompts import queries
from app.prompts.answers import UNKNOWN, Answer, visible
from app.prompts.comparing import RELEVANT, Difference, agreement, paired, quartiles
from app.prompts.proposals import RULES
from app.tables import Trial, TrialKind

Row = Mapping[str, Any]
Rows = Mapping[int, Row]


def base_of(item: StageInput) -> str:
    """The caption as a language model gets it."""
    before = item.before("llm")
    return before.text if before else ""


def answers_of(session: Session, rows: Sequence[Rows]) -> dict[int, Answer]:
    """Answers by the ids of their texts, without those that are blanked or were never valid."""
    texts = queries.answer_texts(session, [row["text"] for one in rows for row in one.values() if "score" in row])
    return {id_: Answer.model_validate(json.loads(text)) for id_, text in texts.items()}


def offered(row: Row, answers: Mapping[int, Answer], base: str) -> str:
    """The caption that reviewers would get of it."""
    answer = answers.get(row["text"])
    text = visible(answer.caption).strip() if answer else ""
    return base if row.get("rewrote") or not text else text


# --- beside what people decided -----------------------------------------------------------------


def compared(session: Session, candidate_ids: Sequence[int], rows: Sequence[Rows]) -> dict[str, Any]:
    """Figures of each side against what people decided and published, and of both where both answered; no text.

    Rejections that have nothing to do with relevance are left out of how often a side agrees; `other` counts them.
    """
    decided = queries.judgements(session, candidate_ids)
    people = {id_: judged for id_, judged in decided.items() if not judged.is_other}
    bases = {item.candidate_id: base_of(item) for item in inputs(session, candidate_ids)}
    answers = answers_of(session, rows)
    sides = [_side(one, people, bases, answers) for one in rows]
    in_both = [id_ for id_ in rows[0] if id_ in people and all("score" in one.get(id_, {}) for one in rows)]
    both = [[(one[id_]["score"] >= RELEVANT) == people[id_].accepted for one in rows] for id_ in in_both]
    return {"sides": sides, "both": both, "other": len(decided) - len(people)}


def _side(
    rows: Rows, people: Mapping[int, queries.Judged], bases: Mapping[int, str], answers: Mapping[int, Answer]
) -> dict[str, Any]:
    said = {id_: row for id_, row in rows.items() if "score" in row and id_ in people}
    far = [
        distance(offered(row, answers, bases[id_]), published)
        for id_, row in said.items()
        if people[id_].accepted and (published := people[id_].published)
    ]
    return {
        "said": [[row["score"], people[id_].accepted] for id_, row in said.items()],
        "distance": quartiles(far),
        "published": len(far),
        "invalid": sum("score" not in row for row in rows.values()),
        "rewrote": sum(bool(row.get("rewrote")) for row in rows.values()),
        **{name: sum(row[name] for row in rows.values()) for name in ("tokens_in", "tokens_out", "cost")},
    }


@dataclass(frozen=True)
class Figures:
    """One side of a comparison: agreement on relevance, and how far its captions are from the published ones."""

    agreement: Estimate | None
    kept_good: Estimate | None
    stopped_bad: Estimate | None
    distance: Sequence[float] | None
    published: int
    invalid: int
    rewrote: int
    tokens: int
    cost: float


def figures(result: Mapping[str, Any]) -> tuple[list[Figures], Difference | None]:
    """A comparison's figures a side, and by how much the first agrees more often."""
    made = [_figures(side) for side in result.get("sides", [])]
    return made, paired([(first, second) for first, second in result.get("both", [])])


def _figures(side: Mapping[str, Any]) -> Figures:
    said = [(score, accepted) for score, accepted in side["said"]]
    return Figures(
        agreement(said),
        agreement([one for one in said if one[1]]),
        agreement([one for one in said if not one[1]]),
        side["distance"],
        side["published"],
        side["invalid"],
        side["rewrote"],
        side["tokens_in"] + side["tokens_out"],
        side["cost"],
    )


# --- side by side -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """One side's answer about a candidate; `pieces` lead from what the model got to what it made of it."""

    row: Row
    struck: list[str]
    relevant: str
    reason: str
    pieces: list[Piece]
    unsupported: list[str]
    fields: list[tuple[str, str]]


@dataclass(frozen=True)
class ShownCandidate:
    candidate_id: int
    sha256: str
    raw: list[Piece]
    judged: queries.Judged | None
    sides: list[Shown | None]


def shown(session: Session, trial: Trial, limit: int = 20) -> list[ShownCandidate]:
    """Candidates of a trial that nobody withdrew, each with its raw caption, what the model got, and its answers.

    Of a comparison those on which a side is not of people's opinion, the first of them.
    """
    rows = [{int(id_): row for id_, row in one.items()} for one in trial.result.get("rows", [])]
    people = queries.judgements(session, trial.candidates)
    ids = trial.candidates
    if trial.kind is TrialKind.COMPARE:
        ids = [id_ for id_ in ids if any(_differs(one.get(id_), people.get(id_)) for one in rows)]
    pictures = queries.pictures(session, ids)
    items = inputs(session, [id_ for id_ in ids if id_ in pictures][:limit])
    answers = answers_of(
        session, [{item.candidate_id: one.get(item.candidate_id, {}) for item in items} for one in rows]
    )
    return [
        ShownCandidate(
            item.candidate_id,
            item.image_sha256,
            word_diff(item.caption, base_of(item)),
            people.get(item.candidate_id),
            [_shown(one.get(item.candidate_id), answers, base_of(item)) for one in rows],
        )
        for item in items
    ]


def _differs(row: Row | None, judged: queries.Judged | None) -> bool:
    if not row or not judged or judged.is_other or "score" not in row:
        return False
    return bool((row["score"] >= RELEVANT) != judged.accepted)


def _shown(row: Row | None, answers: Mapping[int, Answer], base: str) -> Shown | None:
    if row is None:
        return None
    answer = answers.get(row["text"])
    if answer is None:
        return Shown(row, [], "", "", [], [], [])
    text = visible(answer.caption).strip()
    unsupported = [text[start:end] for start, end in row.get("unsupported", [])]
    struck = [RULES[name] for name in row.get("struck", ())]
    return Shown(row, struck, answer.relevant, answer.reason, word_diff(base, text), unsupported, _fields(answer))


def _fields(answer: Answer) -> list[tuple[str, str]]:
    """(Name, value) of what the answer names, as people read it."""
    named = [(name.capitalize(), label(name, getattr(answer, name))) for name in FIELDS]
    named.append(("Diagnosis", visible(answer.diagnosis).strip()))
    if answer.language != UNKNOWN:
        named.append(("Language", language_name(answer.language)))
    return [(name, value) for name, value in named if value and value.casefold() != UNKNOWN]
