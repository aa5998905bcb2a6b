"""What people said of candidates on either side of a stage's line, and what they may still be asked to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import ColumnElement, Integer, Numeric, cast, func, literal, select, true
from sqlalchemy.orm import Session

from app.operations.tallies import kept
from app.prefilter import stages
from app.prefilter.funnel import came_from
from app.prefilter.privacy import OF_STAGE
from app.prefilter.proof import BINS, BOUND, Bin, Effect, Proposal, effect, propose
from app.prefilter.queries import thresholds
from app.tables import (
    Assignment,
    Candidate,
    CandidateState,
    Event,
    Finding,
    FindingNow,
    Outcome,
    Purpose,
    Review,
    Setting,
    StageTodo,
    User,
)

S = CandidateState
AUDIT_SHARE = 0.02
AUDITED = tuple(stage.name for stage in stages.STAGES if stage.has_threshold)  # a copy may well be a good pair
USUAL_SECONDS = 20.0  # a review, before anyone has reviewed
RECENT_REVIEWS = 1000


COUNTED = ("scored", "judged", "good", "undecided", "held", "stopped")


def counts(
    session: Session, stage: str, source_id: int | None = None, import_id: int | None = None
) -> dict[str, list[int]]:
    """The stage's scores by hundredths, for each of COUNTED [100], of one source or import if given. At most 5 s old.

    `undecided` are in the stages or wait; of these `held` ones are with a reviewer or reviewed in part; `stopped`
    ones are where this stage dropped them.
    """
    where = came_from(source_id, import_id)
    name = f"evidence:{stage}:{source_id or ''}:{import_id or ''}"
    found = kept(session, name, partial(count_scores, stage, where=where))
    return {kind: [found.get(f"{kind}{number}", 0) for number in range(BINS)] for kind in COUNTED}


def count_scores(stage: str, session: Session, where: Sequence[ColumnElement[bool]] = ()) -> dict[str, int]:
    # Rounded first: 0.29 × 100 is 28.999999999999996, and 0.29 lies above a line at 0.29.
    hundredths = func.round(cast(FindingNow.score * BINS, Numeric), 6)
    number = cast(func.least(func.floor(hundredths), BINS - 1), Integer).label("number")
    undecided = Candidate.state.in_([S.FILTERING, S.QUEUED])
    conditions = (
        true(),
        _is_judged(),
        Candidate.state == S.ACCEPTED,
        undecided,
        undecided & _is_held(),
        (Candidate.state == S.FILTERED_OUT) & (Candidate.stopped_by == stage),
    )
    rows = session.execute(
        select(number, *(func.count().filter(condition) for condition in conditions))
        .join(Candidate, Candidate.id == FindingNow.candidate_id)
        .where(FindingNow.stage == stage, FindingNow.score.is_not(None), Candidate.state != S.WITHDRAWN, *where)
        .group_by(number)
    )
    return {
        f"{kind}{max(0, place)}": count
        for place, *each in rows
        for kind, count in zip(COUNTED, each, strict=True)
        if count
    }


def bins(session: Session, stage: str, source_id: int | None = None, import_id: int | None = None) -> list[Bin]:
    found = counts(session, stage, source_id, import_id)
    return [Bin(*row) for row in zip(found["scored"], found["judged"], found["good"], strict=True)]


@dataclass(frozen=True)
class Preview:
    """What a line would do. `back` were dropped by this stage and would need the later stages."""

    scored: int
    through: int
    dropped: int
    newly_dropped: int
    in_review: int
    back: int
    histogram: list[int]


def preview(session: Session, stage: str, threshold: float) -> Preview:
    """Counts on either side of a line in whole hundredths, and how many change sides."""
    found, line = counts(session, stage), round(threshold * BINS)
    below = {kind: sum(values[:line]) for kind, values in found.items()}
    above = {kind: sum(values[line:]) for kind, values in found.items()}
    scored = found["scored"]
    return Preview(
        scored=sum(scored),
        through=above["scored"],
        dropped=below["scored"],
        newly_dropped=below["undecided"] - below["held"],
        in_review=below["held"],
        back=above["stopped"],
        histogram=[scored[number] + scored[number + 1] for number in range(0, BINS, 2)],
    )


@dataclass(frozen=True)
class NotRun:
    """How many candidates a stage passed on without a look, and why the newest of them."""

    count: int
    why: str


def not_run(session: Session, stage: str) -> NotRun | None:
    unseen = (FindingNow.stage == stage, FindingNow.outcome == Outcome.NOT_RUN)
    newest, count = session.execute(select(func.max(FindingNow.finding_id), func.count()).where(*unseen)).one()
    why = session.scalar(select(Finding.evidence["why"].astext).where(Finding.id == newest)) if newest else None
    return NotRun(count, why or "of a reason that was not noted") if count else None


def _is_held() -> ColumnElement[bool]:
    """In someone's hands, or reviewed by one of two."""
    return (
        select(Assignment.id)
        .where(
            Assignment.candidate_id == Candidate.id,
            (Assignment.review_id.is_not(None)) | (Assignment.lease_until > func.clock_timestamp()),
        )
        .exists()
    )


def _is_judged() -> ColumnElement[bool]:
    """Accepted or rejected; of those that a stage stopped, the audited ones: an audit's reject leaves them there."""
    audited = (
        select(Assignment.id)
        .where(
            Assignment.candidate_id == Candidate.id,
            Assignment.purpose == Purpose.AUDIT,
            Assignment.review_id.is_not(None),
        )
        .exists()
    )
    return Candidate.state.in_([S.ACCEPTED, S.REJECTED]) | ((Candidate.state == S.FILTERED_OUT) & audited)


def effects(session: Session, source_id: int | None = None, import_id: int | None = None) -> dict[str, Effect]:
    """Stage → what its line in force does, for stages with a line; to one source's or import's candidates."""
    lines = {name: line for name, line in thresholds(session).items() if line is not None}
    return {name: effect(bins(session, name, source_id, import_id), line) for name, line in lines.items()}


def seconds_a_review(session: Session) -> float:
    """The mean time of the last thousand reviews; pauses beyond five minutes count as five."""
    recent = (
        select(Review.seconds)
        .where(Review.seconds > 0, Review.purpose == Purpose.MAIN)
        .order_by(Review.id.desc())
        .limit(RECENT_REVIEWS)
        .subquery()
    )
    return float(session.scalar(select(func.avg(func.least(recent.c.seconds, 300)))) or USUAL_SECONDS)


@dataclass(frozen=True)
class Proof:
    """What a line would do beside the one in force, and which one can be proposed."""

    wanted: Effect
    now: Effect
    proposal: Proposal
    bound: float
    seconds: float

    @property
    def hours(self) -> float:
        """Reviewing time that the wanted line adds; negative for what it saves."""
        return (self.wanted.kept - self.now.kept) * self.seconds / 3600


def proof(session: Session, stage: str, wanted: float, now: float) -> Proof:
    found, bound = bins(session, stage), audit_settings(session).bound
    return Proof(effect(found, wanted), effect(found, now), propose(found, bound), bound, seconds_a_review(session))


# --- the audit sample ---------------------------------------------------------------------------


@dataclass(frozen=True)
class AuditSettings:
    """The share of what was filtered out that people look at, and of good pairs that may be lost."""

    share: float
    bound: float


def audit_settings(session: Session) -> AuditSettings:
    rows = session.execute(select(Setting.name, Setting.value).where(Setting.name.in_(["audit_share", "loss_bound"])))
    values = {name: float(value) for name, value in rows}
    return AuditSettings(values.get("audit_share", AUDIT_SHARE), values.get("loss_bound", BOUND))


def audit_counts(session: Session) -> tuple[int, int]:
    """(audits that wait, audits done)."""
    of_audits = Assignment.purpose == Purpose.AUDIT
    done = Assignment.review_id.is_not(None)
    row = session.execute(select(func.count().filter(~done), func.count().filter(done)).where(of_audits)).one()
    return row[0], row[1]


def to_audit(session: Session, share: float, seed: int, limit: int) -> Sequence[int]:
    """Filtered-out candidates that belong to the sample and have no audit yet, at most `limit`.

    Strata are stage and tenth of its score; each gives its `share`, at least one, in the order of a seeded hash. Those
    in which stages look for private details just now come later; those in which one could not look, once it did.
    """
    tenth = func.coalesce(func.least(func.floor(FindingNow.score * 10), 9), -1)
    stratum = (Candidate.stopped_by, tenth)
    order = func.hashtextextended(func.concat(Candidate.id), seed)
    ranked = (
        select(
            Candidate.id.label("id"),
            func.row_number().over(partition_by=stratum, order_by=(order, Candidate.id)).label("rank"),
            func.count().over(partition_by=stratum).label("size"),
        )
        .outerjoin(FindingNow, (FindingNow.candidate_id == Candidate.id) & (FindingNow.stage == Candidate.stopped_by))
        .where(Candidate.state == S.FILTERED_OUT, Candidate.stopped_by.in_(AUDITED))
        .subquery()
    )
    asked = select(Assignment.id).where(Assignment.candidate_id == ranked.c.id, Assignment.purpose == Purpose.AUDIT)
    screening = select(StageTodo.stage).where(StageTodo.candidate_id == ranked.c.id, StageTodo.stage.in_(OF_STAGE))
    of_ranked = (FindingNow.candidate_id == ranked.c.id) & FindingNow.stage.in_(OF_STAGE) & FindingNow.stale.is_(False)
    failed = select(FindingNow.stage).where(of_ranked, FindingNow.outcome != Outcome.OK)
    in_sample = ranked.c.rank <= func.ceil(ranked.c.size * literal(share))
    statement = (
        select(ranked.c.id)
        .where(in_sample, ~asked.exists(), ~screening.exists(), ~failed.exists())
        .order_by(ranked.c.id)
        .limit(limit)
    )
    return session.scalars(statement).all()


# --- what was changed ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """A line that someone moved."""

    at: object
    by: str
    before: float | None
    after: float | None


def changes(session: Session, stage: str, limit: int = 8) -> list[Change]:
    """The last times that the stage's line was moved, newest first."""
    rows = session.execute(
        select(Event.at, func.coalesce(User.name, "system"), Event.details)
        .outerjoin(User, User.id == Event.user_id)
        .where(Event.subject_kind == "stage", Event.subject_id == stage, Event.act == "stage.threshold_changed")
        .order_by(Event.id.desc())
        .limit(limit)
    )
    return [Change(at, by, details.get("from"), details.get("to")) for at, by, details in rows]
