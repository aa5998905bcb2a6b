"""The made set: its truth is in its captions, and no two of its pictures are alike."""

from itertools import combinations

import numpy as np
import pytest

from workers.ml import drawn, perceptual, quality

SAME = 31  # bits of PDQ within which two pictures are taken for one


def test_the_same_seed_draws_the_same_bytes_and_another_does_not() -> None:
    first, again, other = ([pair.jpeg for pair in drawn.pairs(4, seed, 64)] for seed in (1, 1, 2))
    assert first == again
    assert not set(first) & set(other)


def test_a_pair_is_the_same_whichever_others_are_drawn() -> None:
    assert drawn.pair(3, 1, 64).jpeg == list(drawn.pairs(4, 1, 64))[3].jpeg


@pytest.mark.parametrize("wording", drawn.WORDINGS)
@pytest.mark.parametrize("count", drawn.COUNTS)
def test_every_wording_names_all_of_the_truth(wording: str, count: int) -> None:
    truth = drawn.Truth("red", "cross", count, "dotted", "middle", "grey")
    words = drawn.caption(truth, wording).lower()
    assert all(word in words for word in ("red", "dotted", "middle", "grey", drawn.COUNTS[count]))
    assert ("crosses" in words) == (count > 1)
    assert "cross" in words


def test_captions_tell_most_pictures_apart() -> None:
    captions = [pair.caption for pair in drawn.pairs(1000, 5, 16)]
    assert len(set(captions)) > 950


def test_no_two_pictures_are_copies_to_the_prefilter() -> None:
    hashes = [perceptual.pdq(pair.jpeg) for pair in drawn.pairs(120, 7, 256)]
    bits = [np.unpackbits(np.frombuffer(found.pdq, np.uint8)) for found in hashes]
    assert min(int((one != other).sum()) for one, other in combinations(bits, 2)) > SAME
    assert min(found.quality for found in hashes) >= 50


def test_pictures_pass_the_quality_stage() -> None:
    found = [quality.measure(pair.jpeg) for pair in drawn.pairs(20, 7, 256)]
    assert min(one.sharpness for one in found) > 100
    assert max(one.blankness for one in found) < 0.5


def test_what_is_fixed_is_the_same_on_all() -> None:
    made = list(drawn.pairs(12, 3, 32, colour="red", count=1))
    assert {(pair.truth.colour, pair.truth.count) for pair in made} == {("red", 1)}
    assert len({pair.truth.shape for pair in made}) > 1


def test_the_colour_is_on_the_picture() -> None:
    fixed = {"shape": "square", "count": 1, "texture": "plain", "place": "middle"}
    for colour, rgb in drawn.COLOURS.items():
        middle = np.asarray(drawn.pair(1, 9, 64, colour=colour, **fixed).picture)[28:36, 28:36].reshape(-1, 3)
        nearest = min(drawn.COLOURS, key=lambda name: float(np.abs(middle.mean(0) - drawn.COLOURS[name]).sum()))
        assert (nearest, rgb) == (colour, drawn.COLOURS[colour])


def test_classes_are_named_by_the_parts_asked_for() -> None:
    names = drawn.zero_shot_classes("colour", "shape")
    assert len(names) == len(drawn.COLOURS) * len(drawn.SHAPES)
    assert names["red", "circle"] == "red circle"
    assert drawn.zero_shot_classes("count")[3,] == "three"
