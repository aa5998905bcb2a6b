"""Candidates that a stage holds, made the way a worker makes them."""

from typing import Any

from sqlalchemy.orm import Session

from app.curation import moves
from app.prefilter import due, recording
from app.prefilter.policies import StageResult
from app.prefilter.recording import write_findings
from app.prefilter.stages import BY_NAME
from app.tables import Candidate, CandidateState
from tests.factories import make_candidate

FACE = {"kind": "face", "x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4, "score": 0.99}
A_FACE: dict[str, Any] = {"boxes": [FACE], "kinds": {"face": 1}}
NO_FACE: dict[str, Any] = {"boxes": [], "kinds": {}}


def look(
    session: Session, candidate: Candidate, evidence: dict[str, Any], stage: str = "faces", seen: str = "x"
) -> None:
    """The stage finds this in a candidate that is being filtered; `seen` stands for what it looked at."""
    due.forget(session, [candidate.id])
    due.due(session, BY_NAME[stage], [candidate.id])
    batch = due.take(session, BY_NAME[stage])
    result = StageResult(candidate.id, evidence=evidence)
    recording.write_results(session, BY_NAME[stage], batch, [result], {candidate.id: seen}, None)
    session.refresh(candidate)


def make_held(
    session: Session, evidence: dict[str, Any] | None = None, stage: str = "faces", **wanted: Any
) -> Candidate:
    """A candidate that the stage holds."""
    candidate = make_candidate(session, CandidateState.FILTERING, **wanted)
    look(session, candidate, evidence or A_FACE, stage)
    assert candidate.state is CandidateState.FLAGGED
    return candidate


def hold_queued(session: Session, candidate_ids: list[int]) -> None:
    """Queued candidates go back to the stages, where a face is found in each."""
    for id_ in moves.refilter(session, candidate_ids, CandidateState.QUEUED):
        write_findings(session, "faces", "1", [StageResult(id_, evidence=A_FACE)], {id_: "x"}, None)
        moves.hold(session, [id_], "faces")
