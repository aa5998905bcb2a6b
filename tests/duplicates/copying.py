"""Candidates with made hashes, as the sameness stage finds them: the app's own writing, without the pictures."""

import random
from collections.abc import Mapping, Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.curation import moves
from app.duplicates import queries
from app.prefilter import due, pdq, recording, stages
from app.prefilter.grouping import Match
from app.prefilter.policies import StageResult
from app.tables import Candidate, CandidateState, DuplicateMember, FindingNow, Image
from tests.factories import make_candidate

STAGE = stages.BY_NAME["sameness"]
CAPTION = "Basal cell carcinoma of the eyelid, nodular."
BASE = random.Random(5).getrandbits(pdq.BITS)


def bits(count: int, start: int = 0) -> int:
    """A hash that differs from the base in `count` bits from `start` on."""
    return BASE ^ sum(1 << bit for bit in range(start, start + count))


def arrive(
    session: Session, *, side: int = 600, caption: str = CAPTION, image_of: int | None = None, author: str = "p1"
) -> int:
    """A candidate that is being filtered; its picture is `side` px square, or that of another candidate."""
    candidate = make_candidate(session, CandidateState.FILTERING, caption, author=author, with_blob=True)
    if image_of is not None:
        candidate.image_id = session.get_one(Candidate, image_of).image_id
    else:
        session.execute(update(Image).where(Image.id == candidate.image_id).values(width=side, height=side))
    session.flush()
    return candidate.id


def look(
    session: Session,
    hashes: Mapping[int, int],
    quality: int = 100,
    content: float = 1.0,
    views: Sequence[Match] = (),
) -> None:
    """The stage looks at candidates and finds these hashes of their pictures, and these views that they share."""
    due.due(session, STAGE, list(hashes))
    batch = due.take(session, STAGE)
    assert set(batch.candidate_ids) == set(hashes)
    found = {"evidence": {"content": content}, "pdq_quality": quality}
    results = [StageResult(id_, pdq=pdq.to_text(hash_), **found) for id_, hash_ in hashes.items()]  # type: ignore[arg-type]
    results[0].matches = views
    recording.write_results(session, STAGE, batch, results, dict.fromkeys(hashes, ""), None)
    session.flush()


def view(
    session: Session, smaller: int, larger: int, part: float = 0.8, agrees: float = 0.98, cosine: float = 0.9
) -> Match:
    """All of one candidate's picture is `part` of another's."""
    images = [session.get_one(Candidate, id_).image_id for id_ in (smaller, larger)]
    covers, boxes = [1.0, part], [[0.0, 0.0, 1.0, 1.0], [0.1, 0.2, 0.8, part]]
    order = sorted(range(2), key=lambda n: images[n])
    a, b = (images[n] for n in order)
    evidence = {"points": 80, "turned": "", "boxes": [boxes[n] for n in order]}
    return Match((a, b), cosine, agrees, (covers[order[0]], covers[order[1]]), evidence)


def cut_from(
    session: Session,
    larger: int,
    hash_: int,
    part: float = 0.8,
    *,
    side: int = 500,
    caption: str = CAPTION,
) -> int:
    """A candidate that arrives, and whose picture is seen to be `part` of another's."""
    id_ = arrive(session, side=side, caption=caption)
    look(session, {id_: hash_}, views=[view(session, id_, larger, part)])
    return id_


def copy(session: Session, hash_: int, **how: object) -> int:
    """A candidate that arrives and is looked at."""
    id_ = arrive(session, **how)  # type: ignore[arg-type]
    look(session, {id_: hash_})
    return id_


def enqueue(session: Session, *candidate_ids: int) -> None:
    """As if they had passed the stages that follow."""
    due.forget(session, candidate_ids)
    assert moves.enqueue(session, candidate_ids) == sorted(candidate_ids)


def make_group(session: Session) -> int:
    """The number of a group of two copies."""
    copy(session, bits(0))
    return group_with(session, copy(session, bits(2))).id


def groups(session: Session) -> set[frozenset[int]]:
    found: dict[int, set[int]] = {}
    for group_id, candidate_id in session.execute(select(DuplicateMember.group_id, DuplicateMember.candidate_id)):
        found.setdefault(group_id, set()).add(candidate_id)
    return {frozenset(members) for members in found.values()}


def group_with(session: Session, candidate_id: int) -> queries.Group:
    return queries.group(session, session.get_one(DuplicateMember, candidate_id).group_id)


def states(session: Session, *candidate_ids: int) -> list[str]:
    """`kept` for those that the stage let through, `copy` for those that it stopped."""
    session.expire_all()
    found = [session.get_one(Candidate, id_) for id_ in candidate_ids]
    assert all(c.state is not CandidateState.FILTERED_OUT or c.stopped_by == "sameness" for c in found)
    return ["copy" if c.state is CandidateState.FILTERED_OUT else "kept" for c in found]


def labels(session: Session, *candidate_ids: int) -> list[str | None]:
    session.expire_all()
    return [session.get_one(FindingNow, (id_, "sameness")).label for id_ in candidate_ids]
