"""The language-model stage of the tests: its server, candidates that wait for it, and what became of them."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, update
from sqlalchemy.orm import Session

from app.db import transaction
from app.prefilter import due
from app.prefilter.stages import BY_NAME
from app.tables import Candidate, CandidateState, Caption, Finding, FindingNow, Job
from tests.endpoints.server import ModelServer, says
from tests.factories import make_candidate
from tests.prefilter.test_pipeline import work
from tests.prompts.models import look, make_endpoint, repeats, set_up

S = CandidateState
CAPTION = "Basal cell carcinoma of the skin with peripheral palisading, H&E, 10x."


@pytest.fixture(name="model")
def answering_model() -> Iterator[ModelServer]:
    with ModelServer(says(repeats())) as made:
        yield made


def arrive(session: Session, caption: str = CAPTION, **values: Any) -> int:
    """A candidate that waits for the language model, in whose caption nothing private was found."""
    candidate = make_candidate(session, S.FILTERING, caption, **values)
    look(session, candidate)
    due.due(session, BY_NAME["llm"], [candidate.id])
    return candidate.id


def ready(model: ModelServer, *captions: str, **setting: Any) -> list[int]:
    """The stage asks the server; candidates with these captions wait for it."""
    with transaction() as session:
        set_up(session, make_endpoint(session, model), **setting)
        return [arrive(session, caption) for caption in captions or (CAPTION,)]


def finding(candidate_id: int) -> Finding:
    with transaction() as session:
        now = session.get_one(FindingNow, (candidate_id, "llm"))
        return session.get_one(Finding, now.finding_id)


def offered(candidate_id: int) -> str:
    return last(candidate_id)[0]


def last(candidate_id: int) -> tuple[str, str]:
    """The text on offer and who made it."""
    with transaction() as session:
        candidate = session.get_one(Candidate, candidate_id)
        caption = session.get_one(Caption, candidate.caption_id)
        return caption.text or "", caption.made_by


def run_due() -> None:
    """Jobs that wait for something run now."""
    with transaction() as session:
        session.execute(update(Job).values(not_before=func.to_timestamp(0)))
    work()
