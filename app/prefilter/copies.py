"""Of candidates that show one picture: which are copies of each other, which one is kept, and how sure that is."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.prefilter import pdq
from app.prefilter.grouping import Match, Pair, said_same
from app.prefilter.queries import input_hash
from app.tables import CandidateState

NEAR_CAPTIONS = 0.9
SURE = 20  # bits: `bench/near_duplicates.py` shows what lies beyond
UNSURE = ("likely copy", "likely same")

DECIDED = (
    CandidateState.ACCEPTED,
    CandidateState.REJECTED,
    CandidateState.CONFLICTED,
    CandidateState.FLAGGED,
)


@dataclass(frozen=True)
class Member:
    """A candidate of a group. `pdq` is None where the picture has no hash that says enough.

    `content` is the share of the picture that is no border and no bar, and `pixels` are only those.

    `chosen` rises with every time that someone chose a copy to keep; it is 0 for one that nobody chose. `stopped`
    says that another stage filtered it out.

    `part` is the same for those that are one picture for sure: by their hashes, by people's words, or since nearly all
    of one is nearly all of the other. `matches` has the views that its picture shares, by the other image's id.
    """

    candidate_id: int
    image_id: int
    state: CandidateState
    pixels: int
    words: frozenset[str]
    pdq: int | None = None
    chosen: int = 0
    stopped: bool = False
    content: float = 1.0
    part: int = 0
    matches: Mapping[int, Match] = field(default_factory=dict)

    @property
    def decided(self) -> bool:
        return self.state in DECIDED


@dataclass(frozen=True)
class Verdict:
    """What the stage says of a candidate; `looked_at` is a hash of all that it depends on."""

    score: float
    label: str
    evidence: dict[str, Any]
    looked_at: str


def caption_words(caption: str) -> frozenset[str]:
    """The words of a caption without case, marks and hashtags' signs."""
    return frozenset(re.findall(r"\w+", caption.casefold()))


def same_caption(members: Sequence[Member]) -> list[list[Member]]:
    """The group's members by caption: those in one list are copies of each other, the kept one first.

    A picture that shows much more than another is no copy of it, whatever its caption, until a person says so.
    """
    clusters: list[list[Member]] = []
    for member in members:
        near = [cluster for cluster in clusters if any(_same(member, other) for other in cluster)]
        merged = [member, *(other for cluster in near for other in cluster)]
        clusters = [cluster for cluster in clusters if cluster not in near] + [merged]
    return [sorted(cluster, key=rank) for cluster in clusters]


def _same(one: Member, other: Member) -> bool:
    return one.part == other.part and _near(one.words, other.words)


def _near(one: frozenset[str], other: frozenset[str]) -> bool:
    """Jaccard similarity of the words; two empty captions are the same."""
    union = len(one | other)
    return not union or len(one & other) / union >= NEAR_CAPTIONS


def rank(member: Member) -> tuple[bool, int, bool, int, int]:
    """The best copy first: decided, else chosen by a person last, else the largest picture, else first imported.

    One that another stage stopped takes nobody's place.
    """
    return (not member.decided, -member.chosen, member.stopped, -member.pixels, member.candidate_id)


def apart(one: Member, other: Member) -> tuple[int, str] | None:
    """Bits between two pictures and how one is turned; None where only a person's word joins them."""
    if one.image_id == other.image_id:
        return 0, ""
    return pdq.distance(one.pdq, other.pdq) if one.pdq is not None and other.pdq is not None else None


def unsure(members: Sequence[Member], joined: Iterable[Pair]) -> set[int]:
    """Candidates whose picture is far from the best copy's, and of whom nobody said that it is the same."""
    best = min(members, key=rank)
    same = said_same(best.image_id, joined)
    return {m.candidate_id for m in members if m.image_id not in same and not _is_surely(best, m)}


def _is_surely(one: Member, other: Member) -> bool:
    found, match = apart(one, other), one.matches.get(other.image_id)
    return (found is not None and found[0] <= SURE) or (match is not None and match.is_sure)


def verdicts(group_id: int, members: Sequence[Member], joined: Iterable[Pair]) -> dict[int, Verdict]:
    """Candidate → score 1 for a kept copy and 0 for a dropped one, with what was compared.

    A copy is dropped only when its caption is the same or nearly so; otherwise all go on, in one group.
    """
    doubtful = unsure(members, joined) if len(members) > 1 else set()
    content = {member.candidate_id: member.content for member in members}
    found: dict[int, Verdict] = {}
    for cluster in same_caption(members):
        kept = cluster[0].candidate_id
        ids = sorted(member.candidate_id for member in cluster)
        for id_ in ids:
            label = _label(is_kept=id_ == kept, is_unsure=id_ in doubtful)
            counts = {"copies": len(members) - 1, "same_caption": len(ids) - 1}
            evidence = {"group": group_id, **counts, "kept": kept, "content": content[id_], **_seen(members, id_)}
            looked_at = input_hash(group_id, *ids, kept, label, *counts.values(), content[id_])
            found[id_] = Verdict(1.0 if id_ == kept else 0.0, label, evidence, looked_at)
    return found


def _seen(members: Sequence[Member], candidate_id: int) -> dict[str, Any]:
    """How the candidate's picture and the best copy's share a view, where that was seen."""
    best = min(members, key=rank)
    match = next((m.matches.get(best.image_id) for m in members if m.candidate_id == candidate_id), None)
    return {"view": {"cosine": match.cosine, "agrees": match.agrees, **match.evidence}} if match else {}


def _label(*, is_kept: bool, is_unsure: bool) -> str:
    if is_unsure:
        return "likely same" if is_kept else "likely copy"
    return "kept" if is_kept else "copy"


def alone(candidate_id: int, content: float) -> Verdict:
    return Verdict(1.0, "only", {"copies": 0, "content": content}, input_hash(candidate_id, "only", content))


def all_verdicts(
    groups: Mapping[int, Sequence[Member]], joined: Iterable[Pair], without: Mapping[int, float]
) -> dict[int, Verdict]:
    """The verdicts on every member of these groups, and on those that are in none, given with their `content`."""
    words = list(joined)
    found = {id_: alone(id_, content) for id_, content in without.items()}
    for group_id, members in groups.items():
        found |= verdicts(group_id, members, words)
    return found
