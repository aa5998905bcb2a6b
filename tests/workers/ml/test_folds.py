"""Folds: every class in each, no group on both sides, and too little of a class said."""

import numpy as np
import pytest

from workers.ml.folds import TooFewLabels, stratified


def test_every_example_is_held_out_once_and_every_fold_sees_all_classes() -> None:
    labels = np.arange(63) % 3
    folds = stratified(labels, None, seed=1)
    assert len(folds) == 5
    assert np.sort(np.concatenate([held for _, held in folds])).tolist() == list(range(63))
    for learn, held in folds:
        assert set(labels[learn]) == set(labels[held]) == {0, 1, 2}
        assert not set(learn) & set(held)


def test_no_group_is_on_both_sides() -> None:
    groups = [f"slide {number // 4}" for number in range(80)]
    for learn, held in stratified(np.arange(80) % 2, groups, seed=0):
        assert not {groups[row] for row in learn} & {groups[row] for row in held}


def test_there_are_as_many_folds_as_the_smallest_class_has_groups() -> None:
    labels = np.array([0] * 20 + [1] * 6)
    assert len(stratified(labels, [*range(20), *"aabbcc"], seed=0)) == 3
    assert len(stratified(labels, None, seed=0)) == 5


def test_the_seed_draws_the_folds() -> None:
    labels = np.arange(40) % 2
    one, again, other = (stratified(labels, None, seed)[0][1].tolist() for seed in (3, 3, 4))
    assert one == again != other


@pytest.mark.parametrize(
    ("labels", "groups"),
    [([], None), ([1] * 9, None), ([0] * 9 + [1], None), ([0] * 4 + [1] * 4, [*range(4), *"aaaa"])],
)
def test_too_little_of_a_class_is_said(labels: list[int], groups: list[object] | None) -> None:
    with pytest.raises(TooFewLabels, match="too few"):
        stratified(np.array(labels), groups, seed=0)
