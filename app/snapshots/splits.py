"""Train, validation and test over split components: no author, post or duplicate group is on two sides.

A component is everything connected by author, post or duplicate group, whatever its state. Whole
components are held out until they hold the wanted number of pairs; that number is drawn by the seed
and the surplus becomes reserve, which is never trained on nor counted as held out. What an earlier
snapshot held out stays held out: new pairs of such a component, and pairs whose component has grown
together with it, go to reserve. Test is filled before validation, and wins where the two grow together.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

from app.snapshots.member import RELEASED, RESERVE, rank

HELD_OUT = ("test", "val")
USUAL_VAL, USUAL_TEST = 500, 5000  # the paper's test figure


@dataclass(frozen=True)
class SplitInput:
    """A candidate in the graph. Only a `member` is given a split; the others still connect.

    `previously` is the last split other than train that it ever had, else "train" if it was in a snapshot.
    """

    key: str
    author_id: int | None = None
    post_id: int | None = None
    group_ids: Sequence[int] = ()
    previously: str | None = None
    member: bool = True

    def links(self) -> list[Hashable]:
        groups: list[Hashable] = [("group", id_) for id_ in self.group_ids]
        author = [] if self.author_id is None else [("author", self.author_id)]
        post = [] if self.post_id is None else [("post", self.post_id)]
        return [*author, *post, *groups]


@dataclass(frozen=True)
class SplitReport:
    """Numbers behind the splits; `components` and `largest` count those that hold members."""

    counts: dict[str, int]
    wanted: dict[str, int]
    components: int
    held_out_components: int
    largest: int
    left_train: int

    def shortfalls(self) -> list[str]:
        """One sentence for each held-out split that has fewer pairs than wanted."""
        return [
            f"{name.capitalize()}: {self.counts[name]:,} of {self.wanted[name]:,} wanted pairs. "
            f"The pairs form {self.components:,} components by author, post and duplicate group; "
            f"the largest, {self.largest:,} pair{'' if self.largest == 1 else 's'}, is never newly held out."
            for name in HELD_OUT
            if self.counts[name] < self.wanted[name]
        ]


@dataclass(frozen=True)
class SplitAssignment:
    """`splits` maps each member's key to train, val, test or reserve."""

    splits: dict[str, str]
    report: SplitReport


@dataclass(eq=False)
class Component:
    """Candidates that must not be on two sides."""

    pairs: list[SplitInput] = field(default_factory=list)

    @cached_property
    def members(self) -> list[SplitInput]:
        return [pair for pair in self.pairs if pair.member]

    def was_held_out(self) -> bool:
        return any(pair.previously not in (None, "train") for pair in self.pairs)

    def side(self) -> str:
        """Test or validation, whichever any of its candidates was in; else reserve."""
        ever = {pair.previously for pair in self.pairs}
        return next((name for name in HELD_OUT if name in ever), RESERVE)


def usual_sizes(pairs: int) -> tuple[int, int]:
    """Validation and test pairs to begin with: the usual figures, or a tenth of the pairs where that is less."""
    return min(USUAL_VAL, pairs // 10), min(USUAL_TEST, pairs // 10)


def components(pairs: Iterable[SplitInput]) -> list[Component]:
    """Connected components (union–find with path halving), in no particular order."""
    parent: dict[Hashable, Hashable] = {}

    def find(node: Hashable) -> Hashable:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    nodes = list(pairs)
    for pair in nodes:
        for link in pair.links():
            parent[find(link)] = find(pair.key)
    found: dict[Hashable, Component] = {}
    for pair in nodes:
        found.setdefault(find(pair.key), Component()).pairs.append(pair)
    return list(found.values())


def assign_splits(pairs: Iterable[SplitInput], seed: int, val: int, test: int) -> SplitAssignment:
    """Splits for every member, the same for the same candidates in any order.

    A split that earlier snapshots filled beyond its wanted number keeps what it has.
    """
    found = [component for component in components(pairs) if component.members]
    earlier = [component for component in found if component.was_held_out()]
    free = sorted((c for c in found if not c.was_held_out()), key=lambda c: _place(seed, c))
    splits = {key: split for component in earlier for key, split in _kept(component).items()}
    wanted = {"val": val, "test": test}
    for name in HELD_OUT:
        missing = wanted[name] - Counter(splits.values())[name]
        taken = set(_hold_out(free, missing))
        free = [component for component in free if component not in taken]
        splits |= _drawn(taken, name, missing, seed)
    splits |= {pair.key: "train" for component in free for pair in component.members}
    return SplitAssignment(splits, _report(found, splits, wanted, len(found) - len(free)))


def _place(seed: int, component: Component) -> bytes:
    """By the smallest key, so that a large component is not likelier to come early."""
    return rank(seed, min(pair.key for pair in component.members))


def _kept(component: Component) -> dict[str, str]:
    """Splits in a component that was held out before: pairs of its side stay, all others are reserve."""
    side = component.side()
    return {pair.key: side if pair.previously == side else RESERVE for pair in component.members}


def _hold_out(free: Sequence[Component], missing: int) -> list[Component]:
    """Components of `free`, in its order, that together hold `missing` pairs or as many as can be had.

    Those larger than the whole need come last, smallest first, for their surplus is lost to training;
    the largest of all always stays in train.
    """
    if missing <= 0 or not free:
        return []
    largest = max(free, key=_size)
    fitting = [component for component in free if _size(component) <= missing]
    oversized = sorted((component for component in free if _size(component) > missing), key=_size)
    choice = [component for component in [*fitting, *oversized] if component is not largest]
    held = accumulate((_size(component) for component in choice), initial=0)
    return [component for component, before in zip(choice, held, strict=False) if before < missing]


def _size(component: Component) -> int:
    return len(component.members)


def _drawn(taken: Iterable[Component], name: str, count: int, seed: int) -> dict[str, str]:
    """`count` pairs of the components, by the seed, are in the split; the surplus is reserve."""
    keys = sorted((p.key for c in taken for p in c.members), key=lambda key: rank(seed, key))
    return {key: name if place < count else RESERVE for place, key in enumerate(keys)}


def _report(found: Sequence[Component], splits: dict[str, str], wanted: dict[str, int], held_out: int) -> SplitReport:
    counted = Counter(splits.values())
    members = [pair for component in found for pair in component.members]
    return SplitReport(
        counts={name: counted[name] for name in (*RELEASED, RESERVE)},
        wanted=wanted,
        components=len(found),
        held_out_components=held_out,
        largest=max(map(_size, found), default=0),
        left_train=sum(pair.previously == "train" and splits[pair.key] != "train" for pair in members),
    )
