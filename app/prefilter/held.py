"""What stages hold for an admin, and what their settings about private details do: everything that is read of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Select, Text, func, literal, select
from sqlalchemy.orm import Session

from app.candidates import queries as candidates
from app.operations.tallies import kept
from app.prefilter.privacy import OF_STAGE, Action, doing
from app.prefilter.queries import input_hash
from app.tables import (
    Candidate,
    CandidateState,
    Caption,
    Finding,
    FindingNow,
    FlagOrigin,
    Image,
    Outcome,
    Release,
    Review,
    Stage,
)

S = CandidateState
COUNTS_SECONDS = 60
is_held = (Candidate.state == S.FLAGGED) & (Candidate.flag_origin == FlagOrigin.MACHINE)

Actions = Mapping[str, str]


def actions(session: Session) -> dict[str, Actions]:
    """Stage → kind of private detail → what is done about it."""
    rows = session.execute(select(Stage.name, Stage.setting).where(Stage.name.in_(OF_STAGE)).order_by(Stage.name))
    return {name: setting.get("actions", {}) for name, setting in rows}


def version(in_force: Mapping[str, Actions]) -> str:
    """Changes with any of the actions."""
    return input_hash(*((name, sorted(of_stage.items())) for name, of_stage in sorted(in_force.items())))[:16]


def holds(of_stage: Actions) -> ColumnElement[bool]:
    """The condition on the newest finding by which a stage's actions hold a candidate, unless an admin released it."""
    kinds = literal(doing(of_stage, Action.HOLD), ARRAY(Text))
    found = select(Finding.id).where(
        Finding.id == FindingNow.finding_id, Finding.outcome == Outcome.OK, Finding.evidence["kinds"].has_any(kinds)
    )
    of_finding = (Release.finding_id == FindingNow.finding_id) & (Release.candidate_id == FindingNow.candidate_id)
    released = select(Release.finding_id).where(of_finding)
    return found.exists() & ~released.exists()


def wrongly_placed(stage: str, of_stage: Actions) -> Select[int, CandidateState]:
    """(id, state) of candidates that the actions would hold and that are free, or that they hold no more."""
    free = Candidate.state.in_([S.FILTERING, S.QUEUED, S.FILTERED_OUT])
    held = is_held & (Candidate.stopped_by == stage)
    return (
        select(Candidate.id, Candidate.state)
        .join(FindingNow, (FindingNow.candidate_id == Candidate.id) & (FindingNow.stage == stage))
        .where((free & FindingNow.stale.is_(False) & holds(of_stage)) | (held & ~holds(of_stage)))
    )


@dataclass(frozen=True)
class Effect:
    """How many candidates a change of actions would hold, and how many that are held now it would let go on."""

    held: int = 0
    let_go: int = 0


def effect(session: Session, stage: str, of_stage: Actions) -> Effect:
    moved = wrongly_placed(stage, of_stage).subquery()
    flagged = moved.c.state == S.FLAGGED
    row = session.execute(select(func.count().filter(~flagged), func.count().filter(flagged)).select_from(moved)).one()
    return Effect(*row)


def screened(session: Session, candidate_ids: Sequence[int]) -> set[int]:
    """Those of the candidates in which every stage has looked for private details."""
    looked_at = candidates.screened()
    return set(session.scalars(select(Candidate.id).where(Candidate.id.in_(candidate_ids), looked_at)))


def kinds_found(session: Session) -> dict[str, int]:
    """`stage.kind` → candidates in which the stage finds it now. At most a minute old."""
    return kept(session, "private_kinds", _count_kinds, COUNTS_SECONDS)


def _count_kinds(session: Session) -> dict[str, int]:
    each = (
        select(FindingNow.stage, func.jsonb_object_keys(Finding.evidence["kinds"]).label("kind"))
        .join(Finding, Finding.id == FindingNow.finding_id)
        .join(Candidate, Candidate.id == FindingNow.candidate_id)
        .where(FindingNow.stage.in_(OF_STAGE), FindingNow.outcome == Outcome.OK, Candidate.state != S.WITHDRAWN)
        .subquery()
    )
    rows = session.execute(select(each.c.stage, each.c.kind, func.count()).group_by(each.c.stage, each.c.kind))
    return {f"{stage}.{kind}": count for stage, kind, count in rows}


# --- the list -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Held:
    """A candidate that a stage holds, with what it found. `spans` are private parts of the caption."""

    candidate_id: int
    stage: str
    image: Image
    caption: str
    kinds: Mapping[str, int]
    boxes: Sequence[Mapping[str, Any]]
    spans: Sequence[Mapping[str, Any]]

    @property
    def pieces(self) -> list[tuple[str, str]]:
        """The caption in parts, each with its kind of private detail or none."""
        made, at = [], 0
        for span in sorted(self.spans, key=lambda span: int(span["start"])):
            start, end = max(at, span["start"]), max(at, span["end"])
            made += [(self.caption[at:start], ""), (self.caption[start:end], span["kind"])]
            at = end
        return [piece for piece in [*made, (self.caption[at:], "")] if piece[0]]


def counts(session: Session) -> dict[str, int]:
    """Stage → how many it holds, for those that hold any."""
    rows = session.execute(select(Candidate.stopped_by, func.count()).where(is_held).group_by(Candidate.stopped_by))
    return {stage: count for stage, count in rows if stage}


def listed(session: Session, stage: str, after: int, limit: int) -> list[Held]:
    """Those that a stage (any, when "") holds, the oldest first, beyond the candidate `after`."""
    statement = _with_finding().where(is_held, Candidate.id > after).order_by(Candidate.id).limit(limit)
    return _held(session, statement.where(Candidate.stopped_by == stage) if stage else statement)


def of_candidate(session: Session, candidate_id: int) -> Held | None:
    """What holds this candidate, None where no stage does."""
    return next(iter(_held(session, _with_finding().where(is_held, Candidate.id == candidate_id))), None)


def _with_finding() -> Select[Any]:
    looked_at = Finding.evidence["caption"].as_integer()  # which version of the caption the spans are of
    return (
        select(Candidate.id, Candidate.stopped_by, Image, func.coalesce(Caption.text, ""), Finding.evidence)
        .join(Image, Image.id == Candidate.image_id)
        .join(FindingNow, (FindingNow.candidate_id == Candidate.id) & (FindingNow.stage == Candidate.stopped_by))
        .join(Finding, Finding.id == FindingNow.finding_id)
        .outerjoin(Caption, Caption.id == func.coalesce(looked_at, Candidate.caption_id))
    )


def _held(session: Session, statement: Select[Any]) -> list[Held]:
    in_force = actions(session)
    found = []
    for id_, stage, image, caption, evidence in session.execute(statement):
        why = set(doing(in_force.get(stage, {}), Action.HOLD))
        kinds = {kind: count for kind, count in evidence.get("kinds", {}).items() if kind in why}
        boxes = [box for box in evidence.get("boxes", ()) if box["kind"] in why]
        spans = [span for span in evidence.get("spans", ()) if span["kind"] in why]
        found.append(Held(id_, stage, image, caption, kinds, boxes, spans))
    return found


def details(session: Session, candidate_ids: Sequence[int]) -> list[tuple[int, Caption, Sequence[Mapping[str, Any]]]]:
    """(candidate, caption, spans): what is private in the caption that was looked at, where that has not changed."""
    rows = session.execute(
        select(FindingNow.candidate_id, Caption, Finding.evidence["spans"])
        .join(Finding, Finding.id == FindingNow.finding_id)
        .join(Caption, Caption.id == Finding.evidence["caption"].as_integer())
        .where(FindingNow.candidate_id.in_(candidate_ids), FindingNow.stage == "private", FindingNow.stale.is_(False))
        .order_by(FindingNow.candidate_id)
    )
    return [(id_, caption, spans) for id_, caption, spans in rows]


@dataclass(frozen=True)
class Settled:
    """A candidate that was held and that an admin let go or rejected, and can be held again."""

    candidate_id: int
    sha256: str
    word: str
    at: datetime


def settled_lately(session: Session, limit: int = 8) -> list[Settled]:
    """The last that were released and that nobody decided since, or that were rejected while held; newest first."""
    undecided = Candidate.state.in_([S.FILTERING, S.QUEUED, S.FILTERED_OUT])
    released = (
        select(Candidate.id, Image.sha256, literal("released"), func.max(Release.at).label("at"))
        .join(Release, Release.candidate_id == Candidate.id)
        .join(Image, Image.id == Candidate.image_id)
        .where(undecided)
        .group_by(Candidate.id, Image.sha256)
    )
    rejected = (
        select(Candidate.id, Image.sha256, literal("rejected"), Review.at)
        .join(Review, Review.id == Candidate.settled_by)
        .join(Image, Image.id == Candidate.image_id)
        .where(candidates.withheld(), Candidate.state == S.REJECTED)
    )
    both = released.union_all(rejected).subquery()
    rows = session.execute(select(both).order_by(both.c.at.desc()).limit(limit))
    return [Settled(*row) for row in rows]
