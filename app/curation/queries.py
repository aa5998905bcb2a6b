"""What the review pages read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from app.accounts.policies import Actor
from app.candidates.queries import visible
from app.curation.policies import UNDO_LAST, may_undo
from app.curation.vocabulary import FIELDS
from app.errors import NotFound
from app.prefilter.caption_diff import Piece, word_diff
from app.tables import (
    Assignment,
    Author,
    Candidate,
    CandidateState,
    Caption,
    CaptionKind,
    Draft,
    EvidenceText,
    Finding,
    FindingNow,
    Image,
    Post,
    Purpose,
    Queue,
    Reason,
    Review,
    ReviewKind,
    ReviewReason,
    User,
)


@dataclass(frozen=True)
class Shown:
    """A candidate as a page shows it: its picture, its post, its original and offered text."""

    candidate: Candidate
    image: Image
    post: Post
    author: Author | None
    raw: str
    offered: str
    offered_kind: CaptionKind


# Made once: making an alias anew for every request took longer than the statement that uses it.
raw_caption, offered_caption = aliased(Caption), aliased(Caption)
undoing = aliased(Review)


def shown(session: Session, candidate_id: int) -> Shown | None:
    """The candidate with what stands beside it, in one query."""
    newest_raw = (
        select(func.max(Caption.version))
        .where(Caption.candidate_id == Candidate.id, Caption.kind == CaptionKind.RAW)
        .correlate(Candidate)
        .scalar_subquery()
    )
    row = session.execute(
        select(Candidate, Image, Post, Author, raw_caption.text, offered_caption.text, offered_caption.kind)
        .join(Image, Image.id == Candidate.image_id)
        .join(Post, Post.id == Candidate.post_id)
        .outerjoin(Author, Author.id == Post.author_id)
        .outerjoin(raw_caption, (raw_caption.candidate_id == Candidate.id) & (raw_caption.version == newest_raw))
        .outerjoin(offered_caption, offered_caption.id == Candidate.caption_id)
        .where(Candidate.id == candidate_id)
    ).one_or_none()
    if row is None:
        return None
    candidate, image, post, author, raw_text, text, kind = row
    return Shown(candidate, image, post, author, raw_text or "", text or "", kind or CaptionKind.RAW)


def require(session: Session, candidate_id: int) -> None:
    """Raises NotFound for a candidate that is not there."""
    if session.get(Candidate, candidate_id) is None:
        raise NotFound(f"There is no candidate C-{candidate_id}.")


@dataclass(frozen=True)
class Found:
    """A stage's newest finding of a candidate."""

    stage: str
    outcome: str
    score: float | None
    label: str | None
    stale: bool
    version: str
    evidence: dict[str, object]
    at: datetime


def findings(session: Session, candidate_id: int) -> dict[str, Found]:
    """Stage → what it says of the candidate now."""
    rows = session.execute(
        select(
            FindingNow.stage,
            FindingNow.outcome,
            FindingNow.score,
            FindingNow.label,
            FindingNow.stale,
            Finding.stage_version,
            Finding.evidence,
            Finding.at,
        )
        .join(Finding, Finding.id == FindingNow.finding_id)
        .where(FindingNow.candidate_id == candidate_id)
    )
    return {row[0]: Found(row[0], row[1].value, *row[2:]) for row in rows}


@dataclass(frozen=True)
class Sibling:
    candidate_id: int
    position: int
    sha256: str
    state: CandidateState


def siblings(session: Session, actor: Actor, post_id: int) -> list[Sibling]:
    """The images of a post that this person may see, one candidate each, in their order."""
    rows = session.execute(
        select(Candidate.id, Candidate.position, Image.sha256, Candidate.state)
        .join(Image, Image.id == Candidate.image_id)
        .where(Candidate.post_id == post_id, Candidate.state != CandidateState.WITHDRAWN, visible(actor))
        .order_by(Candidate.position, Candidate.caption_ordinal, Candidate.id)
    )
    return [Sibling(*row) for row in rows]


def saved_list(session: Session, actor: Actor, queue_id: int) -> list[int]:
    """The candidates that this person chose to review, in order. Raises NotFound, also for another's list."""
    queue = session.get(Queue, queue_id)
    if queue is None or queue.filter.get("person") != actor.user_id or "candidates" not in queue.filter:
        raise NotFound(f"There is no list {queue_id} of yours.", "Choose again what to review.")
    chosen: list[int] = queue.filter["candidates"]
    return chosen


@dataclass(frozen=True)
class Past:
    """One of a person's own decisions, with the text it published."""

    review_id: int
    candidate_id: int
    kind: ReviewKind
    edited: bool
    at: datetime
    sha256: str
    caption: str
    undoable: bool


def history(session: Session, actor: Actor, limit: int = UNDO_LAST) -> list[Past]:
    """A person's last decisions that stand, newest first; each can be undone for a day."""
    text = func.coalesce(
        select(Caption.text).where(Caption.id == Review.caption_after_id).scalar_subquery(),
        select(Caption.text).where(Caption.id == Review.caption_before_id).scalar_subquery(),
        "",
    )
    last = select(Review.id).where(*standing_reviews(actor)).order_by(Review.id.desc()).limit(limit)  # type: ignore[arg-type]
    rows = session.execute(
        select(Review, Image.sha256, text, func.clock_timestamp())
        .join(Candidate, Candidate.id == Review.candidate_id)
        .join(Image, Image.id == Candidate.image_id)
        .where(Review.id.in_(last), visible(actor))
        .order_by(Review.id.desc())
    )
    return [
        Past(
            review.id,
            review.candidate_id,
            review.kind,
            review.caption_after_id is not None and review.caption_after_id != review.caption_before_id,
            review.at,
            sha256,
            caption,
            may_undo(review.purpose, review.kind, review.at, now),
        )
        for review, sha256, caption, now in rows
    ]


def standing_reviews(actor: Actor) -> tuple[object, ...]:
    """Conditions for a person's reviews that no undo of theirs took back.

    NOT IN, which is hashed: a plan with a loop, made while there were few reviews, would be slow at many.
    """
    taken_back = select(undoing.supersedes).where(undoing.user_id == actor.user_id, undoing.kind == ReviewKind.UNDO)
    return (Review.user_id == actor.user_id, Review.kind != ReviewKind.UNDO, Review.id.not_in(taken_back))


@dataclass(frozen=True)
class Progress:
    """Today's decisions of a person and how fast they go: `per_minute` since the first of the last ten minutes."""

    today: int
    goal: int
    per_minute: float
    waiting: int

    @property
    def minutes_to_goal(self) -> int | None:
        left = self.goal - self.today
        return max(1, round(left / self.per_minute)) if left > 0 and self.per_minute > 0 else None


def progress(session: Session, actor: Actor, waiting: int) -> Progress:
    now = func.clock_timestamp()
    lately = Review.at > now - timedelta(minutes=10)
    since = func.extract("epoch", now - func.min(Review.at).filter(lately))
    today, recent, seconds = session.execute(
        select(func.count(), func.count().filter(lately), since).where(
            *standing_reviews(actor),  # type: ignore[arg-type]
            Review.at > func.date_trunc("day", now),
        )
    ).one()
    per_minute = recent / max(1.0, float(seconds or 0) / 60)
    return Progress(today, actor.daily_goal, per_minute, waiting)


def draft(session: Session, actor: Actor, candidate_id: int) -> Draft | None:
    return session.get(Draft, (actor.user_id, candidate_id))


def newest_draft(session: Session, actor: Actor) -> Draft | None:
    """The draft someone would want to go on with: on a candidate that still waits."""
    statement = (
        select(Draft)
        .join(Candidate, Candidate.id == Draft.candidate_id)
        .where(Draft.user_id == actor.user_id, Candidate.state == CandidateState.QUEUED)
        .order_by(Draft.at.desc())
        .limit(1)
    )
    return session.scalars(statement).one_or_none()


def reasons(session: Session) -> Sequence[Reason]:
    return session.scalars(select(Reason).order_by(Reason.digit)).all()


def wanted(session: Session, actor: Actor, purpose: Purpose = Purpose.MAIN) -> int:
    """Candidates that this person may still be handed, counted to 100,000."""
    mine = aliased(Assignment)
    handed = (
        select(mine.id)
        .where(
            mine.candidate_id == Assignment.candidate_id,
            mine.round == Assignment.round,
            mine.user_id == actor.user_id,
            mine.review_id.is_not(None),
        )
        .exists()
    )
    open_slots = (
        select(Assignment.candidate_id)
        .where(Assignment.purpose == purpose, Assignment.review_id.is_(None), ~handed)
        .distinct()
        .limit(100_000)
        .subquery()
    )
    return session.scalar(select(func.count()).select_from(open_slots)) or 0


def flagged(
    session: Session, after: int = 0, limit: int = 50
) -> list[tuple[Candidate, Image, str, Review | None, str]]:
    """Flagged candidates with the review that flagged them and who gave it, oldest first."""
    newest = (
        select(func.max(Review.id))
        .where(Review.candidate_id == Candidate.id, Review.kind == ReviewKind.FLAG)
        .correlate(Candidate)
        .scalar_subquery()
    )
    rows = session.execute(
        select(Candidate, Image, func.coalesce(Caption.text, ""), Review, func.coalesce(User.name, ""))
        .join(Image, Image.id == Candidate.image_id)
        .outerjoin(Caption, Caption.id == Candidate.caption_id)
        .outerjoin(Review, Review.id == newest)
        .outerjoin(User, User.id == Review.user_id)
        .where(Candidate.state == CandidateState.FLAGGED, Candidate.id > after)
        .order_by(Candidate.id)
        .limit(limit)
    )
    return [tuple(row) for row in rows]  # type: ignore[misc]


def evidence_text(session: Session, ids: Sequence[int]) -> dict[int, str]:
    rows = session.execute(select(EvidenceText.id, EvidenceText.text).where(EvidenceText.id.in_(ids)))
    return {id_: text or "" for id_, text in rows}


def answered_fields(session: Session, llm: Found | None) -> dict[str, str]:
    """What the language model answered about a candidate's fields: vocabulary ids, and the diagnosis in its words."""
    if llm is None or llm.outcome != "ok":
        return {}
    given = llm.evidence.get("fields")
    fields = {name: str(value) for name, value in given.items() if value} if isinstance(given, dict) else {}
    if isinstance(text_id := llm.evidence.get("diagnosis"), int):
        fields["diagnosis"] = evidence_text(session, [text_id]).get(text_id, "")[:500]
    return {name: value for name, value in fields.items() if name in (*FIELDS, "diagnosis") and value}


def image_hashes(session: Session, candidate_ids: Sequence[int]) -> list[str]:
    rows = session.execute(
        select(Candidate.id, Image.sha256)
        .join(Image, Image.id == Candidate.image_id)
        .where(Candidate.id.in_(candidate_ids))
    )
    found = {id_: sha256 for id_, sha256 in rows}
    return [found[id_] for id_ in candidate_ids if id_ in found]


@dataclass(frozen=True)
class Standing:
    """What stands on a candidate now: who decided what, or the caption on offer."""

    caption: str
    reviewer: str = ""
    kind: str = ""
    at: datetime | None = None


def standing(session: Session, candidate_id: int) -> Standing:
    """The newest review that settled the candidate, else the text on offer. Shown after a decision came too late."""
    settled = session.execute(
        select(Caption.text, User.name, Review.kind, Review.at)
        .select_from(Candidate)
        .join(Review, Review.id == Candidate.settled_by)
        .join(User, User.id == Review.user_id)
        .outerjoin(Caption, Caption.id == func.coalesce(Review.caption_after_id, Review.caption_before_id))
        .where(Candidate.id == candidate_id)
    ).one_or_none()
    if settled:
        return Standing(settled[0] or "", settled[1], settled[2].value, settled[3])
    offered = session.scalar(
        select(Caption.text).join(Candidate, Candidate.caption_id == Caption.id).where(Candidate.id == candidate_id)
    )
    return Standing(offered or "")


@dataclass(frozen=True)
class Figures:
    """A reviewer's own figures; shares are None until there is something to share."""

    this_week: int
    last_week: int
    accepted: float | None
    edited: float | None
    seconds: float | None


def figures(session: Session, actor: Actor) -> Figures:
    now = func.clock_timestamp()
    week = func.date_trunc("week", now)
    accepts = Review.kind == ReviewKind.ACCEPT
    edited = accepts & (Review.caption_after_id != Review.caption_before_id)
    row = session.execute(
        select(
            func.count().filter(Review.at >= week),
            func.count().filter(Review.at < week, Review.at >= week - timedelta(days=7)),
            func.count(),
            func.count().filter(accepts),
            func.count().filter(edited),
            func.percentile_cont(0.5).within_group(Review.seconds),
        ).where(*standing_reviews(actor), Review.at > now - timedelta(days=30))  # type: ignore[arg-type]
    ).one()
    this_week, last_week, all_, accepted, changed, seconds = row
    return Figures(
        this_week,
        last_week,
        accepted / all_ if all_ else None,
        changed / accepted if accepted else None,
        seconds,
    )


@dataclass(frozen=True)
class Day:
    day: datetime
    accepted: int
    other: int


def days(session: Session, actor: Actor, count: int = 14) -> list[Day]:
    """Decisions a day over the last two weeks, every day there, oldest first."""
    day = func.date_trunc("day", Review.at)
    today = session.scalars(select(func.date_trunc("day", func.clock_timestamp()))).one()
    first = today - timedelta(days=count - 1)
    rows = session.execute(
        select(
            day,
            func.count().filter(Review.kind == ReviewKind.ACCEPT),
            func.count().filter(Review.kind != ReviewKind.ACCEPT),
        )
        .where(*standing_reviews(actor), Review.at >= first)  # type: ignore[arg-type]
        .group_by(day)
    )
    given = {at: (accepted, other) for at, accepted, other in rows}
    return [Day(at, *given.get(at, (0, 0))) for at in (first + timedelta(days=n) for n in range(count))]


@dataclass(frozen=True)
class Differing:
    """One of the judgements that an adjudicator settles, without its author's name."""

    number: int
    kind: ReviewKind
    reasons: list[str]
    pieces: list[Piece]
    caption: str


def judgements(session: Session, shown: Shown) -> list[Differing]:
    """The reviews of a candidate's present round, each with its caption against the one on offer."""
    labels = (
        select(func.array_agg(Reason.label))
        .join(ReviewReason, ReviewReason.reason == Reason.code)
        .where(ReviewReason.review_id == Review.id)
        .correlate(Review)
        .scalar_subquery()
    )
    rows = session.execute(
        select(Review.kind, func.coalesce(labels, []), func.coalesce(Caption.text, ""))
        .join(Assignment, Assignment.review_id == Review.id)
        .outerjoin(Caption, Caption.id == Review.caption_after_id)
        .where(
            Assignment.candidate_id == shown.candidate.id,
            Assignment.round == shown.candidate.round,
            Assignment.purpose == Purpose.MAIN,
        )
        .order_by(Assignment.slot)
    )
    return [
        Differing(number, kind, list(reasons), word_diff(shown.offered, text) if text else [], text)
        for number, (kind, reasons, text) in enumerate(rows, start=1)
    ]
