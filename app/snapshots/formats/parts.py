"""Members of a split cut into files that follow each other in release order."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from app.snapshots.member import Member, part_of


def parts(members: Iterable[Member], seed: int, count: int) -> Iterator[tuple[int, Iterator[Member]]]:
    """(number, members) of each of `count` files, some of which may be empty, reading `members` once.

    Take each part's members before the next part. Raises ValueError if they are not in release order.
    """
    groups = groupby(members, key=lambda member: part_of(seed, member.key, count))
    following = next(groups, None)
    for number in range(count):
        if following is not None and following[0] == number:
            yield following
            following = next(groups, None)
        else:
            yield number, iter(())
    if following is not None:
        raise ValueError("Members are not in release order.")
