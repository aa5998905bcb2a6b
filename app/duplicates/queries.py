"""Duplicate groups as pages show them: which there are, and every copy of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Integer, Select, and_, cast, func, select
from sqlalchemy.orm import Session, aliased

from app.errors import NotFound
from app.operations.tallies import kept
from app.prefilter import sameness
from app.prefilter.copies import UNSURE, Member, apart, rank, same_caption, unsure
from app.prefilter.grouping import Match
from app.prefilter.queries import input_hash
from app.tables import (
    Author,
    Candidate,
    CandidateState,
    Caption,
    DuplicateEdit,
    DuplicateEditKind,
    DuplicateMember,
    Event,
    FindingNow,
    Image,
    ImageMatch,
    Post,
    Source,
)

RELATED = 64  # bits; hashes of unlike pictures are some 100 apart
EDITS = ("duplicate.confirmed", "duplicate.split", "duplicate.merged", "duplicate.kept")

other, their = aliased(Candidate), aliased(DuplicateMember)
shares_a_view = (
    select(ImageMatch.image_a)
    .join(other, other.image_id == ImageMatch.image_b)
    .join(their, their.candidate_id == other.id)
    .where(ImageMatch.image_a == Candidate.image_id, their.group_id == DuplicateMember.group_id)
    .where(other.state != CandidateState.WITHDRAWN)
    .correlate(Candidate, DuplicateMember)
    .exists()
)

is_exact = func.min(Candidate.image_id) == func.max(Candidate.image_id)
is_semantic = func.bool_or(shares_a_view)
is_unsure = func.coalesce(func.bool_or(FindingNow.label.in_(UNSURE)), False)
OF_KIND = {
    "look": is_unsure,
    "exact": is_exact,
    "perceptual": and_(~is_exact, ~is_semantic),
    "semantic": is_semantic,
}


@dataclass(frozen=True)
class Copy:
    """A member of a group as it is shown; `bits` and `turned` compare its picture with the best copy's.

    `bits` is None where the hashes say nothing of the two: a third picture joins them, or a person. `match` is the view
    that they share, where that was seen. `caption_is_own` says that no other member has it, so that the copy goes on
    beside the kept one.
    """

    member: Member
    sha256: str
    width: int
    height: int
    caption: str
    source: str
    author: str
    kept: bool
    why: str
    bits: int | None
    turned: str
    unsure: bool
    caption_is_own: bool
    match: Match | None

    @property
    def boxes(self) -> list[dict[str, Any]]:
        """Where the view lies that the two share, in the best copy and in this one."""
        if not self.match:
            return []
        both = self.match.evidence["boxes"]
        mine_first = self.match.images[0] == self.member.image_id
        ends = (both[1], both[0]) if mine_first else (both[0], both[1])
        return [dict(zip(("x", "y", "width", "height"), box, strict=True), kind="view") for box in ends]

    @property
    def share(self) -> float:
        """How much of the larger of the two pictures the view that they share takes up."""
        return min(self.match.covers) if self.match else 1.0


@dataclass(frozen=True)
class Group:
    """Copies of one picture, the best first. `version` changes with the members."""

    id: int
    copies: Sequence[Copy]

    @property
    def best(self) -> Copy:
        return self.copies[0]

    @property
    def kind(self) -> str:
        if len(self.image_ids) == 1:
            return "exact"
        return "semantic" if any(copy.member.matches for copy in self.copies) else "perceptual"

    @property
    def image_ids(self) -> set[int]:
        return {copy.member.image_id for copy in self.copies}

    @property
    def unsure(self) -> bool:
        return any(copy.unsure for copy in self.copies)

    @property
    def distances(self) -> list[int]:
        """Bits of the copies that are other pictures than the best one, and are not known to it by a shared view."""
        others = (c for c in self.copies if c.member.image_id != self.best.member.image_id and not c.match)
        return sorted(copy.bits for copy in others if copy.bits is not None)

    @property
    def cosines(self) -> list[float]:
        """Of the vectors of those that share a view with the best one."""
        return sorted(copy.match.cosine for copy in self.copies if copy.match)

    @property
    def version(self) -> str:
        return version(self.id, [copy.member for copy in self.copies])


def version(group_id: int, members: Sequence[Member]) -> str:
    return input_hash(group_id, *sorted(member.candidate_id for member in members))[:16]


# --- lists --------------------------------------------------------------------------------------


def listed(session: Session, kind: str, before: int | None, limit: int) -> list[Group]:
    """The newest groups of a kind: `look` for those with members of which the machine is not sure."""
    statement = _groups(DuplicateMember.group_id).having(OF_KIND[kind])
    if before is not None:
        statement = statement.where(DuplicateMember.group_id < before)
    numbers = session.scalars(statement.order_by(DuplicateMember.group_id.desc()).limit(limit)).all()
    return groups(session, numbers)


def _groups(*columns: Any) -> Select[Any]:
    """One row for each group that has at least two members left."""
    return (
        select(*columns)
        .select_from(DuplicateMember)
        .join(Candidate, Candidate.id == DuplicateMember.candidate_id)
        .outerjoin(FindingNow, (FindingNow.candidate_id == Candidate.id) & (FindingNow.stage == "sameness"))
        .where(Candidate.state != CandidateState.WITHDRAWN)
        .group_by(DuplicateMember.group_id)
        .having(func.count() > 1)
    )


def counts(session: Session) -> dict[str, int]:
    """Groups by kind, at most 5 s old."""
    return kept(session, "duplicates", _count)


def _count(session: Session) -> dict[str, int]:
    each = _groups(*(condition.label(kind) for kind, condition in OF_KIND.items())).subquery()
    sums = [func.coalesce(func.sum(cast(each.c[kind], Integer)), 0) for kind in OF_KIND]
    return dict(zip(OF_KIND, session.execute(select(*sums)).one(), strict=True))


# --- one group ----------------------------------------------------------------------------------


def group(session: Session, group_id: int) -> Group:
    """Raises NotFound when the group has not two members any more."""
    found = groups(session, [group_id])
    if not found:
        raise NotFound(f"There is no group G-{group_id}.", "It may have been split up, or joined with another.")
    return found[0]


def groups(session: Session, group_ids: Sequence[int]) -> list[Group]:
    """The groups that have at least two members left, in the order given."""
    found = {id_: members for id_, members in sameness.members(session, group_ids).items() if len(members) > 1}
    joined = sameness.joined_pairs(session, {member.image_id for members in found.values() for member in members})
    shown = _shown(session, [member.candidate_id for members in found.values() for member in members])
    return [Group(id_, _copies(found[id_], unsure(found[id_], joined), shown)) for id_ in group_ids if id_ in found]


def _shown(session: Session, candidate_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    rows = session.execute(
        select(
            Candidate.id,
            Image.sha256,
            Image.width,
            Image.height,
            func.coalesce(Caption.text, "").label("caption"),
            Source.name.label("source"),
            func.coalesce(func.nullif(Author.label, ""), Author.account_id, "").label("author"),
        )
        .join(Image, Image.id == Candidate.image_id)
        .join(Post, Post.id == Candidate.post_id)
        .join(Source, Source.id == Post.source_id)
        .outerjoin(Author, Author.id == Post.author_id)
        .outerjoin(Caption, Caption.id == Candidate.caption_id)
        .where(Candidate.id.in_(candidate_ids))
    )
    return {row.id: {name: value for name, value in row._mapping.items() if name != "id"} for row in rows}


def _copies(members: Sequence[Member], doubtful: set[int], shown: dict[int, dict[str, Any]]) -> list[Copy]:
    best = min(members, key=rank)
    made = []
    for cluster in same_caption(members):
        for member in sorted(cluster, key=rank):
            found = apart(best, member)
            bits, turned = found if found and found[0] <= RELATED else (None, "")
            made.append(
                Copy(
                    member=member,
                    **shown[member.candidate_id],
                    kept=member is cluster[0],
                    why=_why(member, best, cluster) if member is cluster[0] else "",
                    bits=bits,
                    turned=turned,
                    unsure=member.candidate_id in doubtful,
                    caption_is_own=len(cluster) == 1,
                    match=best.matches.get(member.image_id),
                )
            )
    return sorted(made, key=lambda copy: (not copy.kept, rank(copy.member)))


def _why(member: Member, best: Member, cluster: Sequence[Member]) -> str:
    """Why a copy is kept, in words that follow its size."""
    if member.decided:
        return f"{member.state.value} by people"
    if member.chosen:
        return "chosen by hand"
    if member.part != best.part:
        return "it may show something else too"
    if member is not best and len(cluster) == 1:
        return "its caption is its own"
    others = [other for other in cluster if other is not member and not other.stopped]
    return "largest" if all(other.pixels < member.pixels for other in others) else "first imported"


def group_of(session: Session, candidate_id: int) -> int | None:
    statement = select(DuplicateMember.group_id).where(DuplicateMember.candidate_id == candidate_id)
    return session.scalar(statement)


def image_of(session: Session, candidate_id: int) -> int | None:
    """The picture of a candidate that is not withdrawn."""
    statement = select(Candidate.image_id).where(
        Candidate.id == candidate_id, Candidate.state != CandidateState.WITHDRAWN
    )
    return session.scalar(statement)


# --- what people said ---------------------------------------------------------------------------


def said(session: Session, image_ids: set[int]) -> dict[tuple[int, int], DuplicateEditKind]:
    """Pair of images → what was said of it, for the pairs among these images."""
    rows = session.execute(
        select(DuplicateEdit.image_a, DuplicateEdit.image_b, DuplicateEdit.kind).where(
            DuplicateEdit.image_a.in_(image_ids), DuplicateEdit.image_b.in_(image_ids)
        )
    )
    return {(a, b): kind for a, b, kind in rows}


def last_edit(session: Session, user_id: int | None) -> Event | None:
    """This person's last edit of groups that they have not taken back."""
    taken_back = select(Event.details["event"].as_integer()).where(
        Event.act == "duplicate.undone", Event.user_id == user_id
    )
    statement = (
        select(Event)
        .where(Event.user_id == user_id, Event.act.in_(EDITS), Event.id.not_in(taken_back))
        .order_by(Event.id.desc())
        .limit(1)
    )
    return session.scalars(statement).one_or_none()
