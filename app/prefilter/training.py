"""Training the histology classifier from reviews: what there is to learn from, and the classifiers made so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, cast, func, literal, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app import jobs
from app.accounts.policies import Actor
from app.errors import Conflict, NotFound
from app.tables import (
    Assignment,
    Candidate,
    CandidateState,
    Classifier,
    Encoder,
    Image,
    Job,
    LabelSet,
    Post,
    Purpose,
    ReviewReason,
    User,
    WorkQueue,
)

S = CandidateState
NOT_HISTOLOGY = "not_histopathology"
FEWEST = 20  # pictures of each class, from at least 4 authors: a quarter of the authors is held out
FEWEST_AUTHORS = 4


@dataclass(frozen=True)
class Learnable:
    """Pictures that reviews tell of: accepted ones, and those rejected as no histology."""

    positives: int
    negatives: int
    authors: int

    @property
    def missing(self) -> list[str]:
        """What must be reviewed before training makes sense; empty when it does."""
        wanted = (
            (FEWEST - self.positives, "accepted"),
            (FEWEST - self.negatives, "rejected as “Not histopathology”"),
        )
        parts = [f"{count} more {what}" for count, what in wanted if count > 0]
        authors = FEWEST_AUTHORS - self.authors
        return parts + ([f"pictures of {authors} more authors"] if authors > 0 else [])


def _rejected_as_other() -> ColumnElement[bool]:
    """Rejected, in the queue or by an audit, for not being histology."""
    review = (
        select(ReviewReason.review_id)
        .join(Assignment, Assignment.review_id == ReviewReason.review_id)
        .where(
            Assignment.candidate_id == Candidate.id,
            Assignment.purpose.in_([Purpose.MAIN, Purpose.AUDIT]),
            ReviewReason.reason == NOT_HISTOLOGY,
        )
        .exists()
    )
    return Candidate.state.in_([S.REJECTED, S.FILTERED_OUT]) & review


def _named(kind: str, number: InstrumentedAttribute[Any]) -> ColumnElement[str]:
    """Null where the number is, which `concat` would not be."""
    return literal(f"{kind} ").op("||")(cast(number, Text))


def judged_images() -> Select[int, bool, str]:
    """(image, whether it is histology, author or post) of judged pictures; one that got both answers is left out."""
    positive = Candidate.state == S.ACCEPTED
    author = func.coalesce(_named("author", Post.author_id), _named("post", Post.id))
    return (
        select(Candidate.image_id, func.bool_and(positive).label("positive"), func.min(author).label("author"))
        .join(Post, Post.id == Candidate.post_id)
        .where(positive | _rejected_as_other())
        .group_by(Candidate.image_id)
        .having(func.bool_and(positive) == func.bool_or(positive))
    )


def learnable(session: Session) -> Learnable:
    each = judged_images().subquery()
    row = session.execute(
        select(
            func.count().filter(each.c.positive),
            func.count().filter(~each.c.positive),
            func.count(func.distinct(each.c.author)),
        )
    ).one()
    return Learnable(*row)


def train_from_reviews(session: Session, actor: Actor) -> Job:
    """Starts the job that trains on all reviews so far. Raises Conflict with too few of them."""
    if missing := learnable(session).missing:
        raise Conflict("There is too little to learn from yet.", f"It takes {' and '.join(missing)}.")
    key = "train_from_reviews"
    jobs.record(session, "classifier.training_started", "stage", "domain", user_id=actor.user_id)
    return jobs.submit(session, key, WorkQueue.GPU, {}, unit="pictures", dedupe=key, requested_by=actor.user_id)


# --- the classifiers made so far ----------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    classifier: Classifier
    encoder: Encoder
    label_set: LabelSet
    by: str


def _made() -> Select[Classifier, Encoder, LabelSet, str]:
    return (
        select(Classifier, Encoder, LabelSet, func.coalesce(User.name, "system"))
        .join(Encoder, Encoder.id == Classifier.encoder_id)
        .join(LabelSet, LabelSet.id == Classifier.label_set_id)
        .outerjoin(User, User.id == Classifier.made_by)
    )


def classifiers(session: Session, limit: int = 20) -> list[Made]:
    """The newest first."""
    return [Made(*row) for row in session.execute(_made().order_by(Classifier.id.desc()).limit(limit))]


def classifier(session: Session, classifier_id: int) -> Made:
    """Raises NotFound."""
    row = session.execute(_made().where(Classifier.id == classifier_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no classifier {classifier_id}.")
    return Made(*row)


@dataclass(frozen=True)
class Mistake:
    """A held-out picture that the classifier was most wrong on, and a candidate that shows it."""

    sha256: str
    candidate_id: int
    probability: float
    positive: bool


def mistakes(session: Session, made: Classifier) -> Sequence[Mistake]:
    told = made.metrics.get("mistakes", [])
    shown = dict(
        session.execute(
            select(Image.sha256, func.min(Candidate.id))
            .join(Candidate, Candidate.image_id == Image.id)
            .where(Image.sha256.in_([one["sha256"] for one in told]), Candidate.state != S.WITHDRAWN)
            .group_by(Image.sha256)
        ).all()
    )
    return [
        Mistake(one["sha256"], shown[one["sha256"]], one["probability"], one["positive"])
        for one in told
        if one["sha256"] in shown
    ]
