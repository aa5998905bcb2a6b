"""Candidates on which machines proposed something, the way their stages record it."""

from typing import Any

from sqlalchemy.orm import Session

from app.curation import moves
from app.curation.policies import is_spot_check
from app.prefilter import offers, recording
from app.prefilter.policies import Offer, StageResult
from app.tables import Candidate, CaptionKind, EvidenceKind, EvidenceText
from tests.factories import make_candidate

KINDS = {"rules": CaptionKind.CLEANED}


def shown_candidate(session: Session, caption: str = "Basal cell carcinoma, H&E, 10×.", **more: Any) -> Candidate:
    """A queued candidate that reviewers see with its findings: no spot check."""
    while is_spot_check((made := make_candidate(session, caption=caption, **more)).id):
        moves.withdraw(session, [made.id])
    return made


def propose(session: Session, candidate: Candidate, **texts: str) -> None:
    """Puts one caption after the other on offer, each made of the one before: `rules_1="…", llm_3="…"`."""
    for made_by, text in texts.items():
        kind = KINDS.get(made_by.split("_")[0], CaptionKind.PROPOSED)
        made = Offer(kind, text, made_by.replace("_", " "), candidate.caption_id)
        offers.offer(session, [StageResult(candidate.id, offers=[made])])
        session.refresh(candidate)


def find(session: Session, candidate: Candidate, stage: str, label: str | None = None, **evidence: Any) -> None:
    """What a stage says of a candidate now."""
    result = StageResult(candidate.id, label=label, evidence=evidence)
    recording.write_findings(session, stage, "1", [result], {candidate.id: repr(evidence)}, None)


def words(session: Session, candidate: Candidate, text: str) -> int:
    """Words of a model's answer, by the id that a finding names them with."""
    row = EvidenceText(candidate_id=candidate.id, kind=EvidenceKind.LLM_ANSWER, text=text, text_sha256=f"{text!r}")
    session.add(row)
    session.flush()
    return row.id
