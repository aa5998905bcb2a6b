"""Duplicate groups: candidates that show the same picture, as the database holds them.

Two images are the same when they are one image, when their PDQ hashes differ in at most 31 of 256 bits (Meta's
recommended radius) in some orientation, when they show one view, or when a person said so (`grouping` says how these
make groups). A group is worked out anew from all that its pictures are near to, so by files, hashes and words it does
not depend on the order of import. Views are looked for among the pictures that are there when one arrives and whose
vectors are nearest to its own: most are found so, some are not, and which may depend on the order of import.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, Text, cast, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from app.advisory import GROUP_COPIES
from app.prefilter import grouping, lookalikes, pdq
from app.prefilter.copies import Member, caption_words
from app.prefilter.grouping import Match, Pair, Picture, Words
from app.tables import (
    Candidate,
    CandidateState,
    Caption,
    CaptionKind,
    DuplicateEdit,
    DuplicateEditKind,
    DuplicateGroup,
    DuplicateMember,
    Event,
    Finding,
    FindingNow,
    Image,
    Stage,
)

WITHDRAWN = CandidateState.WITHDRAWN


def lock_grouping(session: Session) -> None:
    """One grouping at a time: two at once could each miss the other's new picture. Before candidates are locked."""
    session.execute(select(func.pg_advisory_xact_lock(GROUP_COPIES)))


def save_hashes(session: Session, hashes: Iterable[tuple[int, str, int]]) -> None:
    """(image id, 256 bits as text, quality 0–100) of pictures that were hashed."""
    for image_id, bits, quality in hashes:
        session.execute(update(Image).where(Image.id == image_id).values(pdq=bits, pdq_quality=quality))


def radius_of(row: Stage) -> int:
    """Bits within which two hashes are of one picture."""
    return int(row.setting.get("pdq_distance", 31))


# --- search -------------------------------------------------------------------------------------


VIEWS = range(8)

NEAR = text(
    f"""
    SELECT id FROM image
    WHERE least({", ".join(f"bit_count(pdq # cast(:view{n} AS bit(256)))" for n in VIEWS)}) <= :radius
      AND pdq_quality >= {pdq.TELLING}
      AND ({" OR ".join(f"{piece.sql} = ANY (cast(:piece{n} AS integer[]))" for n, piece in enumerate(pdq.PIECES))})
    """  # noqa: S608  # constants of this module
)


def near(session: Session, hash_: int, radius: int) -> set[int]:
    """The images whose hash is within `radius` (at most 32) of this one in some orientation: all of them, always.

    Each piece has a b-tree, so the database looks up probes and reads the few hashes that they lead to.
    """
    if radius > pdq.FARTHEST:
        raise ValueError(f"a radius of {radius} bits is beyond what the index finds")
    views = {f"view{n}": pdq.to_text(view) for n, view in enumerate(pdq.views(hash_))}
    # As text, which is for a set what PostgreSQL reads as an array: the driver is slow with such long lists.
    pieces = {f"piece{n}": str(keys) for n, keys in enumerate(pdq.probes(hash_))}
    return set(session.scalars(NEAR, views | pieces | {"radius": radius}))


# --- groups -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Regrouped:
    """What grouping anew looked at: groups by their number, candidates in none, and pairs that people joined.

    Of those that are in none it has the share of the picture that is no bar.
    """

    members: dict[int, list[Member]]
    alone: dict[int, float]
    joined: list[Pair]

    @property
    def candidate_ids(self) -> set[int]:
        return {member.candidate_id for group in self.members.values() for member in group} | set(self.alone)


def regroup(
    session: Session, image_ids: Collection[int], radius: int, content: Mapping[int, float] | None = None
) -> Regrouped:
    """Works out the groups of these images anew, with every image that may change sides by it.

    The caller holds the grouping's lock. `content` are shares that were found just now and stand in no finding yet.
    """
    pictures = _pictures(session, _reach(session, image_ids, radius))
    words = _words(session, [picture.id for picture in pictures])
    matches = lookalikes.matches(session, [picture.id for picture in pictures])
    group_ids, alone = _write(session, grouping.groups(pictures, words, radius, matches))
    shares = _content(session, [picture.id for picture in pictures]) | dict(content or {})
    without = session.execute(select(Candidate.id, Candidate.image_id).where(Candidate.id.in_(alone)))
    alone_with = {id_: shares.get(image_id, 1.0) for id_, image_id in without}
    return Regrouped(members(session, group_ids, shares), alone_with, list(words.joined))


def _reach(session: Session, image_ids: Collection[int], radius: int) -> set[int]:
    """The images, what is near to them, and whatever shares a group or a person's word with any of these.

    Groups that are near but apart have a split between them, so nothing that grouping depends on is missed.
    """
    found: set[int] = set()
    fresh = set(image_ids)
    for picture in _pictures(session, image_ids):
        if picture.pdq is not None:
            fresh |= near(session, picture.pdq, radius)
    fresh |= lookalikes.matched(session, image_ids)
    while fresh - found:
        found |= fresh
        fresh = _bound_to(session, found)
    return found


def _bound_to(session: Session, image_ids: Collection[int]) -> set[int]:
    mine, other, their = aliased(Candidate), aliased(DuplicateMember), aliased(Candidate)
    in_group = (
        select(their.image_id)
        .join(other, other.candidate_id == their.id)
        .join(DuplicateMember, DuplicateMember.group_id == other.group_id)
        .join(mine, mine.id == DuplicateMember.candidate_id)
        .where(mine.image_id.in_(image_ids))
    )
    edit = DuplicateEdit
    said = [
        select(there).where(here.in_(image_ids))
        for here, there in ((edit.image_a, edit.image_b), (edit.image_b, edit.image_a))
    ]
    return set(session.scalars(in_group.union(*said)))


def _pictures(session: Session, image_ids: Collection[int]) -> list[Picture]:
    """Those of the images that some candidate shows which is not withdrawn."""
    shown = select(Candidate.id).where(Candidate.image_id == Image.id, Candidate.state != WITHDRAWN).exists()
    rows = session.execute(
        select(Image.id, Image.sha256, Image.pdq, Image.pdq_quality)
        .where(Image.id.in_(image_ids), shown)
        .order_by(Image.sha256)
    )
    return [Picture(id_, sha256, pdq.telling(bits, quality)) for id_, sha256, bits, quality in rows]


def _words(session: Session, image_ids: Collection[int]) -> Words:
    rows = session.execute(
        select(DuplicateEdit.kind, DuplicateEdit.image_a, DuplicateEdit.image_b)
        .where(DuplicateEdit.image_a.in_(image_ids), DuplicateEdit.image_b.in_(image_ids))
        .order_by(DuplicateEdit.id.desc())
    ).all()
    joined = [(a, b) for kind, a, b in rows if kind is DuplicateEditKind.MERGE]
    return Words(joined, frozenset((a, b) for kind, a, b in rows if kind is DuplicateEditKind.SPLIT))


def _write(session: Session, image_groups: Iterable[set[int]]) -> tuple[list[int], list[int]]:
    """Puts the candidates of each set of images into one group. Returns (groups, candidates that have no copy).

    A group that falls apart leaves its number to the part with the first candidate; joined ones take the lowest.
    """
    parts, now = _candidates(session, image_groups)
    alone = [id_ for part in parts if len(part) == 1 for id_ in part]
    session.execute(delete(DuplicateMember).where(DuplicateMember.candidate_id.in_(alone)))
    taken: list[int] = []
    for part in parts:
        if len(part) > 1:
            had = {now[id_] for id_ in part if id_ in now} - set(taken)
            taken.append(min(had) if had else _new_group(session))
            rows = [{"candidate_id": id_, "group_id": taken[-1]} for id_ in part if now.get(id_) != taken[-1]]
            _put(session, rows)
    return taken, alone


def _candidates(session: Session, image_groups: Iterable[set[int]]) -> tuple[list[list[int]], dict[int, int]]:
    """Each set of images as the candidates that show them, and the group that each of these is in now."""
    part_of = {image_id: number for number, images in enumerate(image_groups) for image_id in images}
    rows = session.execute(
        select(Candidate.id, Candidate.image_id, DuplicateMember.group_id)
        .outerjoin(DuplicateMember, DuplicateMember.candidate_id == Candidate.id)
        .where(Candidate.image_id.in_(part_of), Candidate.state != WITHDRAWN)
        .order_by(Candidate.id)
    ).all()
    parts: dict[int, list[int]] = {}
    for id_, image_id, _ in rows:
        parts.setdefault(part_of[image_id], []).append(id_)
    return list(parts.values()), {id_: group_id for id_, _, group_id in rows if group_id is not None}


def _new_group(session: Session) -> int:
    return session.scalars(insert(DuplicateGroup).returning(DuplicateGroup.id)).one()


def _put(session: Session, rows: list[dict[str, int]]) -> None:
    if rows:
        statement = insert(DuplicateMember)
        moved = {"group_id": statement.excluded.group_id}
        session.execute(statement.on_conflict_do_update(index_elements=["candidate_id"], set_=moved), rows)


# --- members ------------------------------------------------------------------------------------


def members(
    session: Session, group_ids: Collection[int], content: Mapping[int, float] | None = None
) -> dict[int, list[Member]]:
    """Group → its members that are not withdrawn. `content` is what the images are without their bars, if known."""
    newest = (
        select(func.max(Caption.version))
        .where(Caption.candidate_id == Candidate.id, Caption.kind == CaptionKind.RAW)
        .correlate(Candidate)
        .scalar_subquery()
    )
    rows = session.execute(
        select(DuplicateMember.group_id, Candidate, Image, Caption.text, _chosen())
        .join(Candidate, Candidate.id == DuplicateMember.candidate_id)
        .join(Image, Image.id == Candidate.image_id)
        .outerjoin(Caption, (Caption.candidate_id == Candidate.id) & (Caption.version == newest))
        .where(DuplicateMember.group_id.in_(group_ids), Candidate.state != WITHDRAWN)
        .order_by(Candidate.id)
        .execution_options(populate_existing=True)
    ).all()
    shares = _content(session, [row[2].id for row in rows]) if content is None else content
    found: dict[int, list[Member]] = {}
    for group_id, candidate, image, caption, chosen in rows:
        member = _member(candidate, image, caption or "", chosen, shares.get(image.id, 1.0))
        found.setdefault(group_id, []).append(member)
    return _in_parts(session, found, {row[2].id: row[2] for row in rows})


def _in_parts(session: Session, found: dict[int, list[Member]], images: Mapping[int, Image]) -> dict[int, list[Member]]:
    """The members with the views that they share, and the parts of each group that are one picture for sure."""
    matches = lookalikes.matches(session, images)
    if not matches:
        return found
    views: dict[int, dict[int, Match]] = {}
    for match in matches:
        for one, other in (match.images, match.images[::-1]):
            views.setdefault(one, {})[other] = match
    pictures = [Picture(id_, image.sha256, pdq.telling(image.pdq, image.pdq_quality)) for id_, image in images.items()]
    radius = radius_of(session.get_one(Stage, "sameness"))
    sure = [match for match in matches if match.is_sure]
    parts = grouping.groups(pictures, _words(session, images), radius, sure)
    part_of = {image_id: min(part) for part in parts for image_id in part}
    return {
        group_id: [replace(m, part=part_of[m.image_id], matches=views.get(m.image_id, {})) for m in members]
        for group_id, members in found.items()
    }


def _content(session: Session, image_ids: Collection[int]) -> dict[int, float]:
    """Image → the share of it that is no border and no bar, as the stage found it."""
    share = Finding.evidence["content"].as_float()
    rows = session.execute(
        select(Candidate.image_id, share)
        .join(FindingNow, (FindingNow.candidate_id == Candidate.id) & (FindingNow.stage == "sameness"))
        .join(Finding, Finding.id == FindingNow.finding_id)
        .where(Candidate.image_id.in_(image_ids), share.is_not(None))
    )
    return {image_id: found for image_id, found in rows}


def _member(candidate: Candidate, image: Image, caption: str, chosen: int, content: float) -> Member:
    return Member(
        candidate_id=candidate.id,
        image_id=image.id,
        state=candidate.state,
        pixels=round(image.width * image.height * content),
        words=caption_words(caption),
        pdq=pdq.telling(image.pdq, image.pdq_quality),
        chosen=chosen,
        stopped=candidate.state is CandidateState.FILTERED_OUT and candidate.stopped_by != "sameness",
        content=content,
    )


def _chosen() -> ColumnElement[int]:
    """The last event by which someone chose the candidate as the copy to keep and did not take it back; else 0."""
    undone = aliased(Event)
    taken_back = select(undone.id).where(
        undone.act == "duplicate.undone", undone.details["event"].as_integer() == Event.id
    )
    return func.coalesce(
        select(func.max(Event.id))
        .where(
            Event.subject_kind == "candidate",
            Event.subject_id == cast(Candidate.id, Text),
            Event.act == "duplicate.kept",
            ~taken_back.exists(),
        )
        .correlate(Candidate)
        .scalar_subquery(),
        0,
    )


def joined_pairs(session: Session, image_ids: Collection[int]) -> list[Pair]:
    """The pairs among these images that people said are one picture."""
    return list(_words(session, image_ids).joined)


def copies_of(session: Session, candidate_ids: Collection[int]) -> list[int]:
    """The candidates that were dropped for being in a group with one of these."""
    mine = select(DuplicateMember.group_id).where(DuplicateMember.candidate_id.in_(candidate_ids))
    dropped = (Candidate.state == CandidateState.FILTERED_OUT) & (Candidate.stopped_by == "sameness")
    statement = (
        select(Candidate.id)
        .join(DuplicateMember, DuplicateMember.candidate_id == Candidate.id)
        .where(DuplicateMember.group_id.in_(mine), dropped)
        .order_by(Candidate.id)
    )
    return list(session.scalars(statement))


def mark_kept(session: Session, kept: set[int], dropped: set[int]) -> None:
    for ids, value in ((kept, True), (dropped, False)):
        session.execute(update(DuplicateMember).where(DuplicateMember.candidate_id.in_(ids)).values(kept=value))
