"""A language model of the tests: an endpoint's row for a real HTTP server, and the stage set up to ask it."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.prefilter.privacy import OF_STAGE
from app.tables import Candidate, Endpoint, Finding, FindingNow, Outcome, Prompt, Rung, Stage, Trial, TrialKind
from tests import factories
from tests.endpoints.server import Asked, ModelServer

ANSWER = {
    "relevant": "yes",
    "reason": "none",
    "organ": "skin",
    "diagnosis": "Basal cell carcinoma",
    "stain": "he",
    "magnification": "10",
    "species": "unknown",
    "language": "en",
}

Saying = Callable[[Asked], Mapping[str, Any]]


def caption_in(asked: Asked) -> str:
    """The caption that the model was given."""
    return str(json.loads(asked.user))


def repeats(**values: Any) -> Saying:
    """The caption as it came, with `values` of the answer instead of the usual ones."""
    return lambda asked: ANSWER | {"caption": caption_in(asked)} | values


def make_endpoint(session: Session, server: ModelServer | str, **values: Any) -> Endpoint:
    """A row that points to a server of the tests, or to any URL, with prices."""
    url = server if isinstance(server, str) else server.url
    given = {"name": "Model", "base_url": url, "rung": Rung.JSON_SCHEMA, "in_flight": 4, "timeout_seconds": 20}
    return factories.make_endpoint(session, **(given | {"price_in": 1.0, "price_out": 2.0} | values))


def make_trial(session: Session) -> int:
    """A finished try of the first prompt on a candidate, without answers."""
    endpoint = make_endpoint(session, "http://127.0.0.1:9/v1", name="Nowhere")
    side = {"endpoint": endpoint.id, "prompt": first_prompt(session).id, "with_picture": False}
    trial = Trial(kind=TrialKind.TRY, sides=[side], candidates=[], result={"rows": [{}]})
    session.add(trial)
    session.flush()
    return trial.id


def first_prompt(session: Session) -> Prompt:
    return session.scalars(select(Prompt).where(Prompt.version == 1)).one()


def set_up(session: Session, endpoint: Endpoint, **values: Any) -> None:
    """The stage asks this endpoint by the first prompt."""
    row = session.get_one(Stage, "llm")
    row.setting = {"endpoint": endpoint.id, "prompt": first_prompt(session).id} | values
    session.flush()


def look(session: Session, candidate: Candidate, stage: str = "private", *kinds: str, **values: Any) -> None:
    """The stage looked at the candidate for private details, and found these."""
    about = {"candidate_id": candidate.id, "stage": stage, "outcome": Outcome.OK} | values
    stale = about.pop("stale", False)
    finding = Finding(**about, stage_version="1", input_hash=uuid4().hex, evidence={"kinds": dict.fromkeys(kinds, 1)})
    session.add(finding)
    session.flush()
    session.merge(FindingNow(**about, finding_id=finding.id, stale=stale))
    session.flush()


def screen(session: Session, candidate: Candidate) -> None:
    """Every stage that looks for private details looked at the candidate, and found nothing."""
    for stage in OF_STAGE:
        look(session, candidate, stage)
