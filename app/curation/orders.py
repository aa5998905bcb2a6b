"""In which order candidates come to reviewers: a priority of each, the highest first.

An order is a rule in SQL over what is known of a candidate. A job writes the priorities of all that wait;
whatever is queued later gets its own when it is queued.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Double, Text, cast, func, literal, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import Actor
from app.errors import Invalid
from app.tables import (
    Assignment,
    Candidate,
    CandidateState,
    Embedding,
    FindingNow,
    Job,
    Purpose,
    Setting,
    Stage,
    WorkQueue,
)

BATCH = 500
NOT_KNOWN = -1.0  # comes after all that are


@dataclass(frozen=True)
class Order:
    """`why` a candidate comes before others, by the score that the stage `scored_by` gave it, if any did."""

    title: str
    why: str
    scored_by: str = ""


ORDERS: Mapping[str, Order] = {
    "oldest": Order("Oldest first", "It waits longest."),
    "uncertain": Order(
        "Most uncertain first",
        "The nearer to the histology stage's line, the earlier: there you teach most.",
        "domain",
    ),
    "aligned": Order("Best aligned first", "The better image and caption agree, the earlier.", "alignment"),
    "relevant": Order(
        "Most relevant first",
        "The better the caption describes the image, says the language model, the earlier.",
        "llm",
    ),
    "diverse": Order("Diverse", "One of each kind of picture comes before the second."),
    "random": Order("Random", "Drawn by lot."),
}


def in_force(session: Session) -> str:
    name = session.scalar(select(Setting.value).where(Setting.name == "order"))
    return str(name) if name in ORDERS else "oldest"


def choose(session: Session, actor: Actor, name: str) -> Job:
    """Takes an order into use and starts the job that applies it to all that wait. Raises Invalid."""
    if name not in ORDERS:
        raise Invalid("There is no such order.", fields={"order": "Choose one of the list."})
    details = {"from": ORDERS[in_force(session)].title, "to": ORDERS[name].title}
    statement = insert(Setting).values(name="order", value=name)
    session.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": name}))
    jobs.record(session, "queue.order_changed", "setting", "order", user_id=actor.user_id, details=details)
    # A job for every change: one that runs already has passed some of the candidates.
    return jobs.submit(session, "order", WorkQueue.CPU, {}, unit="candidates", requested_by=actor.user_id)


def waiting(session: Session, after: int) -> Sequence[int]:
    """A batch of the candidates that wait, locked, beyond id `after`."""
    statement = (
        select(Candidate.id)
        .where(Candidate.state == CandidateState.QUEUED, Candidate.id > after)
        .order_by(Candidate.id)
        .limit(BATCH)
    )
    return session.scalars(statement.with_for_update(key_share=True)).all()


def prioritise(session: Session, candidate_ids: Sequence[int]) -> None:
    """Gives candidates and their open slots the priority that the order in force wants.

    For "diverse" only a job knows the clusters: until it runs, what is new comes first.
    """
    priority = func.coalesce(_rule(session, in_force(session)), NOT_KNOWN)
    rows = session.execute(select(Candidate.id, priority).where(Candidate.id.in_(candidate_ids)))
    write(session, {id_: value for id_, value in rows})


def write(session: Session, priorities: Mapping[int, float]) -> None:
    """Writes priorities of candidates, and of their open slots."""
    if not priorities:
        return
    new = (
        func.unnest(cast(list(priorities), ARRAY(BigInteger)), cast(list(priorities.values()), ARRAY(Double)))
        .table_valued("id", "priority")
        .render_derived()
    )
    for table, candidate_id, which in (
        (Candidate, Candidate.id, true()),
        (Assignment, Assignment.candidate_id, Assignment.review_id.is_(None) & (Assignment.purpose == Purpose.MAIN)),
    ):
        statement = update(table).where(candidate_id == new.c.id, which).values(priority=new.c.priority)
        session.execute(statement.execution_options(synchronize_session=False))


def _rule(session: Session, order: str) -> ColumnElement[float]:
    if order == "random":
        seed = session.scalar(select(Setting.value).where(Setting.name == "seed"))
        return cast(func.hashtextextended(cast(Candidate.id, Text), int(seed or 0)), Double)
    if order == "uncertain":
        line = select(Stage.threshold).where(Stage.name == "domain").scalar_subquery()
        return -func.abs(_score("domain") - func.coalesce(line, 0.5))
    if order in ("aligned", "relevant"):
        return _score("alignment" if order == "aligned" else "llm")
    return literal(0.0, Double)


def _score(stage: str) -> ColumnElement[float]:
    return (
        select(FindingNow.score)
        .where(FindingNow.candidate_id == Candidate.id, FindingNow.stage == stage, FindingNow.stale.is_(False))
        .scalar_subquery()
    )


def vectors(session: Session) -> Sequence[tuple[int, Any]]:
    """(candidate, vector of its image under the encoder in use) of all that wait."""
    encoder = select(Stage.setting["encoder"].astext.cast(BigInteger)).where(Stage.name == "embedding")
    rows = session.execute(
        select(Candidate.id, Embedding.vec)
        .join(Embedding, Embedding.image_id == Candidate.image_id)
        .where(Candidate.state == CandidateState.QUEUED, Embedding.encoder_id == encoder.scalar_subquery())
        .order_by(Candidate.id)
    )
    return [(id_, vec) for id_, vec in rows]
