"""What admins say of duplicate groups: right, split, join, keep this one; and taking the last of it back.

A word is a row of `duplicate_edit` on two images, or an event that names the copy to keep; both outlive every
grouping. An edit's event holds what each pair said before, so that it can be taken back.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import delete, insert, tuple_
from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.duplicates import queries
from app.duplicates.queries import Group
from app.errors import Conflict, Invalid, Stale
from app.jobs import record
from app.prefilter import recording
from app.prefilter.copies import same_caption
from app.prefilter.grouping import Pair, pair, pairs_between
from app.tables import DuplicateEdit, DuplicateEditKind, Event

SPLIT, MERGE = DuplicateEditKind.SPLIT, DuplicateEditKind.MERGE
MOST_PAIRS = 5_000  # that one edit may say something of

Change = tuple[int, int, str | None, str | None]  # two images, what was said of them and what is said now


def confirm(session: Session, actor: Actor, group_id: int, version: str) -> None:
    """Says that all copies of the group show one picture. Raises NotFound, Stale."""
    row = recording.hold_sameness(session)
    group = _as_seen(session, group_id, version)
    best = group.best.member.image_id
    changes = _say(session, actor, dict.fromkeys(pairs_between([best], group.image_ids - {best}), MERGE))
    record(
        session, "duplicate.confirmed", "duplicate_group", group_id, user_id=actor.user_id, details={"pairs": changes}
    )
    recording.regroup(session, row, group.image_ids)


def split(session: Session, actor: Actor, group_id: int, version: str, candidate_ids: Collection[int]) -> list[int]:
    """Says that the pictures of these candidates are another than the rest of the group's. Returns what went.

    Candidates that show the very same file go with them. Raises NotFound, Stale, Invalid.
    """
    row = recording.hold_sameness(session)
    group = _as_seen(session, group_id, version)
    away = {copy.member.image_id for copy in group.copies if copy.member.candidate_id in set(candidate_ids)}
    stay = group.image_ids - away
    if not away or not stay:
        raise _to_choose(group)
    said = pairs_between(away, stay)
    if len(said) > MOST_PAIRS:
        raise Invalid("That is too much at once.", fields={"apart": "Choose fewer copies of so large a group."})
    changes = _say(session, actor, dict.fromkeys(said, SPLIT))
    record(session, "duplicate.split", "duplicate_group", group_id, user_id=actor.user_id, details={"pairs": changes})
    recording.regroup(session, row, group.image_ids)
    return sorted(copy.member.candidate_id for copy in group.copies if copy.member.image_id in away)


def _to_choose(group: Group) -> Invalid:
    if len(group.image_ids) == 1:
        text = "All of these show the very same file, so they can't be apart."
    else:
        text = "Tick the copies that show another picture than the rest, and leave at least one."
    return Invalid(text, fields={"apart": text})


def merge(session: Session, actor: Actor, group_id: int, version: str, other: int, *, other_is_group: bool) -> None:
    """Joins another group or candidate, with its copies, to the group. Raises NotFound, Stale, Invalid."""
    row = recording.hold_sameness(session)
    group = _as_seen(session, group_id, version)
    joining = _images(session, other, is_group=other_is_group)
    if group.image_ids & set(joining):
        raise _refused("other", f"{'G' if other_is_group else 'C'}-{other} is in this group already.")
    said = queries.said(session, group.image_ids | set(joining))
    between = pairs_between(group.image_ids, joining) if len(said) else []
    apart: dict[Pair, DuplicateEditKind | None] = {two: None for two in between if said.get(two) is SPLIT}
    changes = _say(session, actor, {**apart, pair(group.best.member.image_id, joining[0]): MERGE})
    details = {"pairs": changes, "other": f"{'G' if other_is_group else 'C'}-{other}"}
    record(session, "duplicate.merged", "duplicate_group", group_id, user_id=actor.user_id, details=details)
    recording.regroup(session, row, group.image_ids | set(joining))


def _images(session: Session, number: int, *, is_group: bool) -> list[int]:
    """The pictures of a group or of a candidate and its copies, the one that is named or best first."""
    group_id = number if is_group else queries.group_of(session, number)
    found = queries.groups(session, [group_id]) if group_id is not None else []
    first = queries.image_of(session, number) if not is_group else None
    if not found and first is None:
        raise _refused("other", f"There is no {'group G' if is_group else 'candidate C'}-{number}.")
    images = [copy.member.image_id for one in found for copy in one.copies]
    return list(dict.fromkeys([*([first] if first else []), *images]))


def _refused(field: str, text: str) -> Invalid:
    return Invalid(text, fields={field: text})


def keep(session: Session, actor: Actor, group_id: int, version: str, candidate_id: int) -> None:
    """Makes this copy the kept one of those with its caption. Raises NotFound, Stale, Invalid, Conflict."""
    row = recording.hold_sameness(session)
    group = _as_seen(session, group_id, version)
    clusters = same_caption([copy.member for copy in group.copies])
    mine = next((c for c in clusters if any(member.candidate_id == candidate_id for member in c)), None)
    if mine is None:
        raise _refused("candidate", f"C-{candidate_id} is not in this group.")
    if mine[0].candidate_id == candidate_id:
        raise Conflict(f"C-{candidate_id} is kept already.")
    if mine[0].decided:
        raise Conflict(
            f"C-{mine[0].candidate_id} was reviewed, so it stays the kept copy.", "Send it back to the queue first."
        )
    record(session, "duplicate.kept", "candidate", candidate_id, user_id=actor.user_id)
    recording.regroup(session, row, group.image_ids)


def undo(session: Session, actor: Actor) -> Event:
    """Takes back this person's last edit. Returns its event. Raises Conflict when there is none, or it was changed."""
    row = recording.hold_sameness(session)
    edit = queries.last_edit(session, actor.user_id)
    if edit is None:
        raise Conflict("There is no edit of yours to take back.")
    changes: list[Change] = [tuple(change) for change in edit.details.get("pairs", [])]
    images = {image_id for change in changes for image_id in change[:2]}
    said = queries.said(session, images)
    if any(said.get((a, b)) != now for a, b, _, now in changes):
        raise Conflict("Someone said something else of these pictures meanwhile.", "Look at the groups as they are.")
    _say(session, actor, {(a, b): DuplicateEditKind(was) if was else None for a, b, was, _ in changes})
    record(
        session,
        "duplicate.undone",
        edit.subject_kind,
        edit.subject_id,
        user_id=actor.user_id,
        details={"event": edit.id},
    )
    if edit.subject_kind == "candidate" and (image := queries.image_of(session, int(edit.subject_id))):
        images = {image}
    recording.regroup(session, row, images)
    return edit


def _as_seen(session: Session, group_id: int, version: str) -> Group:
    """The group, if it still is what the page showed. Raises NotFound, Stale."""
    group = queries.group(session, group_id)
    if group.version != version:
        raise Stale(f"The copies of G-{group_id} are others now.", "Load the page and look again.")
    return group


def _say(session: Session, actor: Actor, words: Mapping[Pair, DuplicateEditKind | None]) -> list[Change]:
    """Writes what is said of pairs of images (None: nothing any more). Returns what changed."""
    said = queries.said(session, {image_id for two in words for image_id in two})
    changed: Sequence[Pair] = [two for two, kind in words.items() if said.get(two) != kind]
    session.execute(delete(DuplicateEdit).where(tuple_(DuplicateEdit.image_a, DuplicateEdit.image_b).in_(changed)))
    rows = [
        {"kind": kind, "image_a": a, "image_b": b, "made_by": actor.user_id}
        for a, b in changed
        if (kind := words[a, b])
    ]
    if rows:
        session.execute(insert(DuplicateEdit), rows)
    return [(a, b, said.get((a, b)), words[a, b]) for a, b in changed]
