"""PDQ hashes as numbers: the group of eight orientations, and probes that miss no copy."""

import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.prefilter import pdq
from tests.factories import make_picture

hashes = st.integers(0, 2**pdq.BITS - 1)
T = Image.Transpose
TURNS = {
    "mirrored": (T.FLIP_LEFT_RIGHT, T.FLIP_TOP_BOTTOM, T.TRANSPOSE, T.TRANSVERSE),
    "rotated": (T.ROTATE_90, T.ROTATE_180, T.ROTATE_270),
}


@given(hashes)
def test_the_views_are_eight_and_each_of_them_has_the_same_eight(hash_: int) -> None:
    views = set(pdq.views(hash_))
    assert pdq.views(hash_)[0] == hash_
    assert all(set(pdq.views(view)) == views for view in views)


@given(hashes, hashes)
def test_the_distance_is_the_same_from_either_side(one: int, other: int) -> None:
    assert pdq.distance(one, other)[0] == pdq.distance(other, one)[0]


@given(hashes, st.sets(st.integers(0, pdq.BITS - 1), max_size=pdq.FARTHEST), st.integers(0, 7))
def test_a_copy_within_the_radius_shares_a_probe_in_every_orientation(hash_: int, flips: set[int], view: int) -> None:
    copy = pdq.views(hash_ ^ sum(1 << bit for bit in flips))[view]
    assert pdq.distance(hash_, copy)[0] <= len(flips)
    assert shares_a_probe(hash_, copy)


def test_the_worst_spread_of_32_bits_is_found_and_one_bit_more_may_be_missed() -> None:
    assert pdq.FARTHEST == 32
    hash_ = random.Random(1).getrandbits(pdq.BITS)
    three_in_each = sum(0b111 << (pdq.BITS - piece.start - piece.width) for piece in pdq.PIECES)
    fewer = three_in_each & ~(1 << (pdq.BITS - pdq.PIECES[4].start - pdq.PIECES[4].width))
    assert shares_a_probe(hash_, hash_ ^ fewer)
    assert not shares_a_probe(hash_, hash_ ^ three_in_each)


@given(hashes)
def test_the_pieces_are_the_whole_hash_and_their_keys_are_the_same_for_its_mirrored_views(hash_: int) -> None:
    assert [piece.start for piece in pdq.PIECES[1:]] == [p.start + p.width for p in pdq.PIECES[:-1]]
    assert pdq.PIECES[-1].start + pdq.PIECES[-1].width == pdq.BITS
    assert all(pdq.keys(view) == pdq.keys(hash_) for view in pdq.views(hash_)[:4])


def shares_a_probe(hash_: int, other: int) -> bool:
    return any(key in probed for key, probed in zip(pdq.keys(other), pdq.probes(hash_), strict=True))


@pytest.mark.parametrize(("word", "turn"), [(word, turn) for word, turns in TURNS.items() for turn in turns])
def test_a_turned_picture_is_a_copy_and_it_is_told_how_it_is_turned(word: str, turn: Image.Transpose) -> None:
    from workers.ml.perceptual import pdq as computed

    def hashed(image: Image.Image) -> int:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=70)
        return int.from_bytes(computed(buffer.getvalue())[0])

    with Image.open(io.BytesIO(make_picture(7, 600, 480))) as picture:
        apart, turned = pdq.distance(hashed(picture), hashed(picture.transpose(turn)))
    assert turned == word
    assert apart <= pdq.FARTHEST
