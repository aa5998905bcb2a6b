"""Pictures put into groups: components, people's words, and no dependence on the order of import."""

import hashlib
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.prefilter import pdq
from app.prefilter.grouping import Picture, Words, groups, pair

RADIUS = 31
BASE = random.Random(3).getrandbits(256)


def at(*bits: int) -> int:
    """A hash that differs from the base in these bits."""
    return BASE ^ sum(1 << bit for bit in bits)


def near(count: int, start: int = 0) -> int:
    return at(*range(start, start + count))


def pictures(*hashes: int | None) -> list[Picture]:
    return [
        Picture(id_, hashlib.sha256(str(hash_ or id_).encode()).hexdigest(), hash_)
        for id_, hash_ in enumerate(hashes, start=1)
    ]


def parts(found: Sequence[set[int]]) -> set[frozenset[int]]:
    return {frozenset(part) for part in found}


def test_pictures_near_to_each_other_by_way_of_others_are_one_group() -> None:
    chain = pictures(near(0), near(30), near(60), near(120, start=100))
    assert parts(groups(chain, Words(), RADIUS)) == {frozenset({1, 2, 3}), frozenset({4})}


def test_a_picture_without_a_hash_is_alone_until_someone_says_otherwise() -> None:
    shown = pictures(near(0), None)
    assert parts(groups(shown, Words(), RADIUS)) == {frozenset({1}), frozenset({2})}
    assert parts(groups(shown, Words(joined=[(1, 2)]), RADIUS)) == {frozenset({1, 2})}


def test_a_split_holds_although_both_are_near_to_a_third_which_goes_to_the_nearer() -> None:
    shown = pictures(near(0), near(28), near(10))
    split = Words(apart=frozenset({(1, 2)}))
    assert parts(groups(shown, Words(), RADIUS)) == {frozenset({1, 2, 3})}
    assert parts(groups(shown, split, RADIUS)) == {frozenset({1, 3}), frozenset({2})}


def test_what_someone_joined_goes_before_what_is_near() -> None:
    shown = pictures(near(0), near(28), near(10))
    said = Words(joined=[(2, 3)], apart=frozenset({(1, 2)}))
    assert parts(groups(shown, said, RADIUS)) == {frozenset({1}), frozenset({2, 3})}


def test_of_words_that_contradict_each_other_the_newest_holds_and_a_split_always_does() -> None:
    shown = pictures(near(0), near(120), None)
    said = Words(joined=[(2, 3), (1, 3)], apart=frozenset({(1, 2)}))
    assert parts(groups(shown, said, RADIUS)) == {frozenset({1}), frozenset({2, 3})}


def test_two_thousand_copies_of_one_picture_are_grouped_in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    distance = pdq.distance
    monkeypatch.setattr(pdq, "distance", lambda *two: compared.append(two) or distance(*two))
    shown = pictures(*(at(bit, 100 + other) for bit in range(50) for other in range(40)))
    assert groups(shown, Words(), RADIUS) == [set(range(1, 2001))]
    assert len(compared) < 2000


@given(st.data())
def test_the_groups_do_not_depend_on_the_order_of_import(data: st.DataObject) -> None:
    offsets = st.sets(st.integers(0, 70), max_size=24)
    hashes = data.draw(st.lists(offsets, min_size=2, max_size=9, unique_by=frozenset))
    pair_of = st.tuples(st.integers(0, len(hashes) - 1), st.integers(0, len(hashes) - 1)).filter(lambda p: p[0] != p[1])
    split = data.draw(st.lists(pair_of, max_size=3))
    order = data.draw(st.permutations(range(len(hashes))))

    def found(order: Sequence[int]) -> set[frozenset[frozenset[int]]]:
        """The groups by contents, with ids as an import in this order gives them."""
        shown = pictures(*(at(*hashes[number]) for number in order))
        id_of = {number: id_ for id_, number in enumerate(order, start=1)}
        apart = frozenset(pair(id_of[one], id_of[other]) for one, other in split)
        made = groups(shown, Words(apart=apart), RADIUS)
        assert all(not {one, other} <= part for one, other in apart for part in made)
        return {frozenset(frozenset(hashes[order[id_ - 1]]) for id_ in part) for part in made}

    assert found(order) == found(range(len(hashes)))
