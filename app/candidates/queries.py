"""What the candidate pages read. The person who asks is always an argument."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    and_,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.orm import Session, aliased

from app.accounts.policies import Actor
from app.candidates.policies import OPEN, Slots, purposes, sees_state
from app.errors import NotFound
from app.operations.tallies import candidate_counts, kept
from app.prefilter.privacy import OF_STAGE
from app.snapshots.queries import published_sha256
from app.tables import (
    Assignment,
    Candidate,
    CandidateState,
    Caption,
    DuplicateMember,
    EvidenceKind,
    EvidenceText,
    Finding,
    FindingNow,
    FlagOrigin,
    Image,
    Outcome,
    Post,
    Review,
    SavedView,
    SnapshotMember,
    Source,
)

S = CandidateState


# --- who may still be handed what ---------------------------------------------------------------


def _this_round() -> ColumnElement[bool]:
    return and_(Assignment.candidate_id == Candidate.id, Assignment.round == Candidate.round)


def _open_to(actor: Actor) -> ColumnElement[bool]:
    """A slot of the present round is open that this person could be handed."""
    wanted = Assignment.purpose.in_([purpose.value for purpose in purposes(actor)])
    return exists().where(_this_round(), wanted, Assignment.review_id.is_(None)).correlate(Candidate)


def _reviewed_by(actor: Actor) -> ColumnElement[bool]:
    mine = (Assignment.user_id == actor.user_id) & Assignment.review_id.is_not(None)
    return exists().where(_this_round(), mine).correlate(Candidate)


def withheld() -> ColumnElement[bool]:
    """The SQL side of `curation.policies.is_withheld`; a test holds the two together."""
    machine = literal(FlagOrigin.MACHINE, Candidate.flag_origin.type, literal_execute=True)
    by_machine = Candidate.flag_origin.is_not_distinct_from(machine)
    return by_machine | ((Candidate.state == _literally(S.REJECTED)) & Candidate.stopped_by.is_not(None))


def visible(actor: Actor) -> ColumnElement[bool]:
    """What this person may see at all."""
    return true() if actor.is_admin else shown_to_reviewers()


def shown_to_reviewers() -> ColumnElement[bool]:
    """Neither withdrawn nor withheld, nor anything in which nobody has looked for private details yet.

    What is still in the stages is not shown, nor what one of them stopped before those that look for such details.
    """
    on_its_way = [_literally(state) for state in (S.WITHDRAWN, S.INCOMING, S.FILTERING)]
    stopped = Candidate.state == _literally(S.FILTERED_OUT)
    return Candidate.state.not_in(on_its_way) & ~withheld() & (~stopped | screened())


def screened() -> ColumnElement[bool]:
    """Every stage that looks for private details has looked at the candidate as it is; one that failed has not."""
    of_candidate = (FindingNow.candidate_id == Candidate.id) & FindingNow.stale.is_(False)
    could_look = FindingNow.outcome == literal(Outcome.OK, FindingNow.outcome.type, literal_execute=True)
    looked = select(func.count()).where(of_candidate, could_look, FindingNow.stage.in_(OF_STAGE))
    return looked.correlate(Candidate).scalar_subquery() == len(OF_STAGE)


def _literally(state: S) -> ColumnElement[S]:
    """Written into the statement: as a parameter it would hide from the planner how many rows pass."""
    return literal(state, Candidate.state.type, literal_execute=True)


def _hidden_from(actor: Actor) -> ColumnElement[bool]:
    """The SQL side of `policies.sees_state`; a test holds the two together."""
    return false() if actor.is_admin else may_be_handed(actor)


def may_be_handed(actor: Actor) -> ColumnElement[bool]:
    """The SQL side of `policies.may_still_be_handed`."""
    return _open_to(actor) & ~_reviewed_by(actor)


def slots(session: Session, actor: Actor, candidate_id: int) -> Slots:
    row = session.execute(
        select(_open_to(actor), _reviewed_by(actor)).select_from(Candidate).where(Candidate.id == candidate_id)
    ).one()
    return Slots(*row)


# --- the list -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Filter:
    """What to list. `states` holds states and `open`: what the asker may still be handed.

    `reason` is what the stage that stopped a candidate calls it, such as `too small`.
    `found` is a stage and a kind of private detail that it finds, such as `writing.name`.
    """

    states: Sequence[str] = ()
    source_id: int | None = None
    import_id: int | None = None
    post_id: int | None = None
    stopped_by: str = ""
    reason: str = ""
    found: str = ""
    stage: str = ""
    low: float | None = None
    high: float | None = None
    organs: Sequence[str] = ()
    stains: Sequence[str] = ()
    before: int | None = None


@dataclass(frozen=True)
class Listed:
    """A candidate in the list. `score` is of the stage asked for; None, as `state` and `stopped_by`, while hidden."""

    id: int
    sha256: str
    caption: str
    source: str
    state: CandidateState | None
    stopped_by: str | None
    score: float | None
    fields: dict[str, Any]


# Made once: making an alias anew for every request took longer than the statement that uses it.
settled_caption, offered_caption = aliased(Caption), aliased(Caption)
scored, captioned = aliased(FindingNow), aliased(FindingNow)


def listed(session: Session, actor: Actor, wanted: Filter, limit: int) -> list[Listed]:
    """Candidates by filter, the newest first, below `wanted.before`."""
    ids = list(session.scalars(ids_of(actor, wanted).order_by(Candidate.id.desc()).limit(limit)))
    return listed_as(session, actor, ids, wanted.stage)


def listed_as(session: Session, actor: Actor, candidate_ids: Sequence[int], stage: str = "") -> list[Listed]:
    """These candidates, in this order."""
    statement = (
        select(
            Candidate,
            Image.sha256,
            func.coalesce(settled_caption.text, offered_caption.text, ""),
            Source.name,
            _open_to(actor),
            _reviewed_by(actor),
            scored.score,
            Finding.evidence,
        )
        .join(Image, Image.id == Candidate.image_id)
        .join(Post, Post.id == Candidate.post_id)
        .join(Source, Source.id == Post.source_id)
        .outerjoin(settled_caption, settled_caption.id == Candidate.settled_caption_id)
        .outerjoin(offered_caption, offered_caption.id == Candidate.caption_id)
        .outerjoin(scored, (scored.candidate_id == Candidate.id) & (scored.stage == (stage or "domain")))
        .outerjoin(captioned, (captioned.candidate_id == Candidate.id) & (captioned.stage == "caption"))
        .outerjoin(Finding, Finding.id == captioned.finding_id)
        .where(Candidate.id.in_(candidate_ids))
    )
    found = {made.id: made for made in (_listed(actor, *row) for row in session.execute(statement))}
    return [found[id_] for id_ in candidate_ids if id_ in found]


def matching(session: Session, actor: Actor, wanted: Filter) -> list[int]:
    """The ids of all candidates that a filter lists."""
    return list(session.scalars(ids_of(actor, wanted).order_by(Candidate.id)))


def ids_of(actor: Actor, wanted: Filter) -> Select[int]:
    """The ids of all candidates that a filter lists, in no order; joins only what the filter looks at."""
    statement = select(Candidate.id)
    if wanted.source_id:
        statement = statement.join(Post, Post.id == Candidate.post_id)
    if wanted.low is not None or wanted.high is not None:
        of_stage = scored.stage == (wanted.stage or "domain")
        statement = statement.join(scored, (scored.candidate_id == Candidate.id) & of_stage)
    statement = _scored_between(_filtered(statement, actor, wanted), wanted)
    tells_verdict = wanted.stopped_by or wanted.reason or wanted.low is not None or wanted.high is not None
    return statement.where(~_hidden_from(actor)) if tells_verdict else statement


def _scored_between(statement: Select[Any], wanted: Filter) -> Select[Any]:
    for edge, condition in ((wanted.low, scored.score.__ge__), (wanted.high, scored.score.__le__)):
        if edge is not None:
            statement = statement.where(condition(edge))
    return statement


def _listed(
    actor: Actor,
    candidate: Candidate,
    sha256: str,
    caption: str,
    source: str,
    open_: bool,
    reviewed: bool,
    score: float | None,
    evidence: dict[str, Any] | None,
) -> Listed:
    fields = (evidence or {}).get("fields") or {}
    listed = Listed(candidate.id, sha256, caption, source, candidate.state, candidate.stopped_by, score, fields)
    if sees_state(actor, Slots(open_, reviewed)):
        return listed
    return replace(listed, state=None, stopped_by=None, score=None)


def _filtered(statement: Select[Any], actor: Actor, wanted: Filter) -> Select[Any]:
    equal = (
        (Post.source_id, wanted.source_id),
        (Candidate.import_id, wanted.import_id),
        (Candidate.post_id, wanted.post_id),
        (Candidate.stopped_by, wanted.stopped_by),
    )
    for column, value in equal:
        if value:
            statement = statement.where(column == value)
    if wanted.organs or wanted.stains:
        statement = statement.where(_has_fields(organ=wanted.organs, stain=wanted.stains))
    if wanted.reason:
        statement = statement.where(_stopped_as(wanted.reason))
    if wanted.found:
        statement = statement.where(_has_kind(*wanted.found.split(".", 1)))
    if wanted.before is not None:
        statement = statement.where(Candidate.id < wanted.before)
    return statement.where(visible(actor), _in_states(actor, wanted.states))


def _has_fields(**wanted: Sequence[str]) -> ColumnElement[bool]:
    """The caption rules found one of the wanted values of each field. Spelled as the indexes are (`Finding`).

    The stage is asked of the finding alone: asked twice, the planner would take the second for one more filter.
    """
    found, now = aliased(Finding, name="found"), aliased(FindingNow)
    by_rules = found.stage == literal("caption", literal_execute=True)
    of_candidate = (now.candidate_id == Candidate.id) & (now.finding_id == found.id) & by_rules
    values = [
        literal_column(f"found.evidence #>> '{{fields,{field}}}'", Text).in_(chosen)
        for field, chosen in wanted.items()
        if chosen
    ]
    return exists().where(of_candidate, *values).correlate(Candidate)


def _stopped_as(label: str) -> ColumnElement[bool]:
    now = aliased(FindingNow)
    of_candidate = (now.candidate_id == Candidate.id) & (now.stage == Candidate.stopped_by)
    return exists().where(of_candidate, now.label == label).correlate(Candidate)


def _has_kind(stage: str, kind: str) -> ColumnElement[bool]:
    found, now = aliased(Finding), aliased(FindingNow)
    of_candidate = (now.candidate_id == Candidate.id) & (now.stage == stage) & (now.finding_id == found.id)
    return exists().where(of_candidate, found.evidence["kinds"].has_key(kind)).correlate(Candidate)


def _in_states(actor: Actor, wanted: Sequence[str]) -> ColumnElement[bool]:
    """A filter by state must not tell the state of one that hides it."""
    hidden = _hidden_from(actor)
    states = [S(state) for state in wanted if state != OPEN]
    if not wanted:
        return Candidate.state != _literally(S.WITHDRAWN)
    shown = Candidate.state.in_(states) & ~hidden
    return or_(shown, hidden) if OPEN in wanted else shown


def counts(session: Session, actor: Actor) -> dict[str, int]:
    """Candidates by the state that this person sees; those that hide it are under `open`. At most 5 s old."""
    if actor.is_admin:
        return candidate_counts(session)
    return kept(session, f"candidates:{actor.user_id}", partial(_count_seen, actor))


def _count_seen(actor: Actor, session: Session) -> dict[str, int]:
    each = select(_hidden_from(actor).label("hidden"), Candidate.state.label("state")).where(visible(actor)).subquery()
    hidden_state = (each.c.hidden, each.c.state)
    rows = session.execute(select(*hidden_state, func.count()).group_by(*hidden_state)).all()
    seen = {state.value: count for hidden, state, count in rows if not hidden}
    return dict.fromkeys(S, 0) | seen | {OPEN: sum(count for hidden, _, count in rows if hidden)}


def sources(session: Session) -> Sequence[Source]:
    return session.scalars(select(Source).order_by(Source.name)).all()


def saved_views(session: Session, actor: Actor) -> Sequence[SavedView]:
    """Their own, by name."""
    own = select(SavedView).where(SavedView.user_id == actor.user_id)
    return session.scalars(own.order_by(SavedView.name)).all()


def jump(session: Session, actor: Actor, target: int | str) -> list[tuple[int, int]]:
    """(candidate, post) that a number or a post's shortcode names."""
    named = Candidate.id == target if isinstance(target, int) else Post.shortcode == target
    statement = (
        select(Candidate.id, Candidate.post_id)
        .join(Post, Post.id == Candidate.post_id)
        .where(named, visible(actor))
        .order_by(Candidate.position, Candidate.id)
    )
    return [(row[0], row[1]) for row in session.execute(statement)]


# --- one candidate ------------------------------------------------------------------------------


def sees(session: Session, actor: Actor, candidate_id: int) -> bool:
    statement = select(Candidate.id).where(Candidate.id == candidate_id, visible(actor))
    return session.scalar(statement) is not None


def readable(session: Session, actor: Actor, candidate_id: int) -> Candidate:
    """The candidate. Raises NotFound, also for one that this person does not see."""
    seen = select(Candidate).where(Candidate.id == candidate_id, visible(actor))
    candidate = session.scalars(seen).one_or_none()
    if candidate is None:
        raise NotFound(f"There is no candidate C-{candidate_id}.", "It may have been withdrawn.")
    return candidate


def source_of(session: Session, candidate: Candidate) -> Source:
    statement = select(Source).join(Post, Post.source_id == Source.id).where(Post.id == candidate.post_id)
    return session.scalars(statement).one()


def caption_text(session: Session, caption_id: int | None) -> str | None:
    return session.scalar(select(Caption.text).where(Caption.id == caption_id)) if caption_id else None


def review_fields(session: Session, review_id: int | None) -> dict[str, Any] | None:
    """The fields that a review gave, with the diagnosis in words; None without one."""
    fields = session.scalar(select(Review.fields).where(Review.id == review_id))
    if fields is None:
        return None
    made = {name: value for name, value in fields.items() if name != "crop"}
    if text_id := made.pop("diagnosis_text", None):
        made["diagnosis"] = session.scalar(select(EvidenceText.text).where(EvidenceText.id == text_id)) or ""
    return made


def source_texts(session: Session, candidate_id: int) -> list[tuple[EvidenceKind, str]]:
    """What its source said beside the caption and what was read in the picture, in the order it came."""
    kinds = (EvidenceKind.ALT_TEXT, EvidenceKind.EARLIER_CAPTION, EvidenceKind.BURNED_IN)
    of_source = (EvidenceText.candidate_id == candidate_id) & EvidenceText.kind.in_(kinds)
    rows = session.execute(
        select(EvidenceText.kind, EvidenceText.text)
        .where(of_source, EvidenceText.text.is_not(None))
        .order_by(EvidenceText.id)
    )
    return [(kind, text or "") for kind, text in rows]


@dataclass(frozen=True)
class Copy:
    """Another candidate of the same duplicate group."""

    candidate_id: int
    sha256: str
    source: str
    kept: bool


def copies(session: Session, actor: Actor, candidate_id: int, limit: int = 12) -> list[Copy]:
    """The members of the candidate's duplicate group, itself among them, the kept ones first."""
    group = select(DuplicateMember.group_id).where(DuplicateMember.candidate_id == candidate_id)
    rows = session.execute(
        select(Candidate.id, Image.sha256, Source.name, DuplicateMember.kept)
        .join(DuplicateMember, DuplicateMember.candidate_id == Candidate.id)
        .join(Image, Image.id == Candidate.image_id)
        .join(Post, Post.id == Candidate.post_id)
        .join(Source, Source.id == Post.source_id)
        .where(DuplicateMember.group_id == group.scalar_subquery(), Candidate.state != S.WITHDRAWN, visible(actor))
        .order_by(DuplicateMember.kept.desc(), Candidate.id)
        .limit(limit)
    )
    return [Copy(*row) for row in rows]


# --- pictures -----------------------------------------------------------------------------------


def require_image(session: Session, actor: Actor, sha256: str) -> None:
    """Raises NotFound unless the picture is one that this person may see.

    Who reads data sees what a snapshot publishes, who reviews what some candidate shows that they may see.
    """
    shown = select(Candidate.id).join(Image, Image.id == Candidate.image_id).where(Image.sha256 == sha256)
    member = SnapshotMember.candidate_id == Candidate.id
    published = select(Candidate.id).join(SnapshotMember, member).where(published_sha256 == sha256)
    is_left = true() if actor.is_admin else (Candidate.state != _literally(S.WITHDRAWN)) & ~withheld()
    ways = [
        *([shown.where(visible(actor))] if actor.reviews else []),
        *([published.where(is_left)] if actor.reads_data else []),
    ]
    if all(session.scalar(way.limit(1)) is None for way in ways):
        raise NotFound("There is no such picture, or it was withdrawn.")
