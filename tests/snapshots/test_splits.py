"""Splits: nothing connected is on two sides, what was held out stays held out, the wanted numbers are met."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from app.snapshots.splits import SplitInput, assign_splits, components

SEED = 11


@st.composite
def candidates(draw: st.DrawFn) -> list[SplitInput]:
    few = st.integers(0, 9)
    return [
        SplitInput(
            key=f"{number:012d}",
            author_id=draw(st.none() | few),
            post_id=draw(st.none() | st.integers(0, 30)),
            group_ids=draw(st.lists(few, max_size=1)) if draw(st.booleans()) else (),
            previously=draw(st.sampled_from((None, None, "train", "val", "test", "reserve"))),
            member=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 40)))
    ]


def sides_of_components(pairs: Sequence[SplitInput], splits: dict[str, str]) -> list[set[str]]:
    return [{splits[pair.key] for pair in component.members} for component in components(pairs)]


def one_each(count: int) -> list[SplitInput]:
    """Every pair is a component of its own."""
    return [SplitInput(f"{number:012d}", author_id=number) for number in range(count)]


def author(number: int, pairs: int, first: int) -> list[SplitInput]:
    return [SplitInput(f"{first + n:012d}", author_id=number) for n in range(pairs)]


def test_components_connect_by_author_post_and_group_and_not_by_what_is_unknown() -> None:
    pairs = [
        SplitInput("a", author_id=1),
        SplitInput("b", author_id=1, group_ids=(1,)),
        SplitInput("c", post_id=1, group_ids=(1,)),
        SplitInput("d", post_id=1),
        SplitInput("e"),
        SplitInput("f"),
    ]
    found = sorted(sorted(pair.key for pair in component.pairs) for component in components(pairs))
    assert found == [["a", "b", "c", "d"], ["e"], ["f"]]


@given(candidates(), st.integers(0, 8), st.integers(0, 8))
def test_no_component_is_on_two_sides(pairs: list[SplitInput], val: int, test: int) -> None:
    splits = assign_splits(pairs, SEED, val, test).splits
    for sides in sides_of_components(pairs, splits):
        assert len(sides - {"reserve"}) <= 1
        assert "train" not in sides or sides == {"train"}


@given(candidates(), st.integers(0, 8), st.integers(0, 8), st.randoms(use_true_random=False))
def test_order_of_input_changes_nothing(pairs: list[SplitInput], val: int, test: int, random: object) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert assign_splits(shuffled, SEED, val, test) == assign_splits(pairs, SEED, val, test)


@given(candidates(), st.integers(0, 8), st.integers(0, 8))
def test_every_member_and_nothing_else_has_a_split(pairs: list[SplitInput], val: int, test: int) -> None:
    assignment = assign_splits(pairs, SEED, val, test)
    assert assignment.splits.keys() == {pair.key for pair in pairs if pair.member}
    assert Counter(assignment.splits.values()) == Counter(assignment.report.counts)
    assert bool(assignment.report.shortfalls()) == any(
        assignment.report.counts[name] < wanted for name, wanted in (("val", val), ("test", test))
    )


@given(candidates(), st.integers(0, 8), st.integers(0, 8))
def test_a_component_that_was_held_out_never_trains(pairs: list[SplitInput], val: int, test: int) -> None:
    splits = assign_splits(pairs, SEED, val, test).splits
    for component in components(pairs):
        if any(pair.previously in ("val", "test", "reserve") for pair in component.pairs):
            assert not [pair for pair in component.members if splits[pair.key] == "train"]


@given(candidates(), st.integers(0, 8), st.integers(0, 8))
def test_the_next_snapshot_of_the_same_pairs_moves_none(pairs: list[SplitInput], val: int, test: int) -> None:
    first = assign_splits(pairs, SEED, val, test).splits
    frozen = [
        SplitInput(p.key, p.author_id, p.post_id, p.group_ids, _last(p.previously, first.get(p.key)), p.member)
        for p in pairs
    ]
    assert assign_splits(frozen, SEED, val, test).splits == first


def _last(previously: str | None, now: str | None) -> str | None:
    """What the caller passes on: the last split other than train."""
    return now if now not in (None, "train") else previously or now


def test_exactly_the_wanted_numbers_are_held_out_of_single_pairs() -> None:
    counts = assign_splits(one_each(100), SEED, val=10, test=20).report.counts
    assert counts == {"train": 70, "val": 10, "test": 20, "reserve": 0}


def test_the_surplus_of_whole_components_is_reserve() -> None:
    pairs = [pair for number in range(20) for pair in author(number, 7, number * 7)]
    counts = assign_splits(pairs, SEED, val=0, test=10).report.counts
    assert counts == {"train": 126, "val": 0, "test": 10, "reserve": 4}


def test_which_pairs_are_held_out_depends_on_the_seed() -> None:
    drawn = defaultdict(set)
    for seed in range(5):
        splits = assign_splits(one_each(100), seed, val=0, test=10).splits
        drawn[frozenset(key for key, split in splits.items() if split == "test")].add(seed)
    assert len(drawn) == 5


def test_the_largest_component_trains_and_too_few_components_are_told_with_numbers() -> None:
    pairs = author(1, 90, 0) + author(2, 4, 100)
    assignment = assign_splits(pairs, SEED, val=5, test=10)
    assert assignment.report.counts == {"train": 90, "val": 0, "test": 4, "reserve": 0}
    test, val = assignment.report.shortfalls()
    assert test.startswith("Test: 4 of 10 wanted pairs. The pairs form 2 components")
    assert "the largest, 90 pairs" in test
    assert val.startswith("Val: 0 of 5 wanted pairs.")


def test_a_component_larger_than_the_need_is_taken_only_when_small_ones_do_not_suffice() -> None:
    pairs = author(1, 50, 0) + author(2, 30, 100) + [p for n in range(6) for p in author(10 + n, 1, 200 + n)]
    assert assign_splits(pairs, SEED, val=0, test=6).report.counts["reserve"] == 0
    counts = assign_splits(pairs, SEED, val=0, test=8).report.counts
    assert counts == {"train": 50, "val": 0, "test": 8, "reserve": 28}


def test_a_new_pair_of_a_held_out_author_is_reserve() -> None:
    old = SplitInput("000000000001", author_id=1, previously="test")
    new = SplitInput("000000000002", author_id=1)
    splits = assign_splits([old, new, *author(2, 3, 10)], SEED, val=0, test=1).splits
    assert (splits[old.key], splits[new.key]) == ("test", "reserve")


def test_held_out_wins_where_a_training_pair_grows_together_with_it() -> None:
    trained = SplitInput("000000000001", author_id=1, group_ids=(9,), previously="train")
    tested = SplitInput("000000000002", author_id=2, group_ids=(9,), previously="test")
    assignment = assign_splits([trained, tested], SEED, val=0, test=1)
    assert assignment.splits == {trained.key: "reserve", tested.key: "test"}
    assert assignment.report.left_train == 1


def test_test_wins_where_validation_grows_together_with_it() -> None:
    val = SplitInput("000000000001", group_ids=(9,), previously="val")
    test = SplitInput("000000000002", group_ids=(9,), previously="test")
    assert assign_splits([val, test], SEED, val=0, test=1).splits == {val.key: "reserve", test.key: "test"}


def test_a_withdrawn_candidate_still_connects_and_still_holds_out() -> None:
    gone = SplitInput("000000000001", author_id=1, previously="test", member=False)
    left = SplitInput("000000000002", author_id=1)
    assert assign_splits([gone, left], SEED, val=0, test=0).splits == {left.key: "reserve"}


def test_a_smaller_wanted_number_takes_nothing_away() -> None:
    pairs = [SplitInput(f"{n:012d}", author_id=n, previously="test") for n in range(5)]
    assert assign_splits(pairs, SEED, val=0, test=2).report.counts["test"] == 5


def test_a_withdrawn_test_pair_is_replaced_by_a_new_component() -> None:
    first = assign_splits(one_each(40), SEED, val=0, test=10).splits
    kept = [SplitInput(pair.key, pair.author_id, previously=first[pair.key]) for pair in one_each(40)]
    tested = next(pair.key for pair in kept if first[pair.key] == "test")
    after = assign_splits([pair for pair in kept if pair.key != tested], SEED, val=0, test=10)
    assert after.report.counts["test"] == 10
    assert after.report.left_train == 1
