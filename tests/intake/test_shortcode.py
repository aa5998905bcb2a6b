"""A shortcode and a media number are two writings of one number."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.intake.formats.shortcode import ALPHABET, SHORTCODE, from_pk, media_number, to_pk


@pytest.mark.parametrize("shortcode", ["C4abcDEF123", "B-0_9zZaA", "BCDEF", "__-_-__-__-"])
def test_a_shortcode_is_the_media_number_in_base64(shortcode: str) -> None:
    padded = shortcode.rjust(12, "A")
    pk = str(int.from_bytes(base64.urlsafe_b64decode(padded), "big"))
    assert to_pk(shortcode) == pk
    assert from_pk(pk) == from_pk(f"{pk}_77") == shortcode


def test_a_private_post_s_longer_shortcode_has_the_number_of_its_first_part() -> None:
    assert to_pk("C4abcDEF123" + "x" * 28) == to_pk("C4abcDEF123")


@pytest.mark.parametrize("text", ["", "B", "not a code", "C4abc\u0661EF123", "x" * 65])
def test_what_is_no_shortcode_has_no_number(text: str) -> None:
    assert to_pk(text) is None


@pytest.mark.parametrize("pk", ["", "x", "-5", "1.5", "\u0661", "7", "9" * 21, "9" * 5_000])
def test_what_is_no_number_has_no_shortcode(pk: str) -> None:
    assert from_pk(pk) is None


@given(st.text(st.sampled_from(ALPHABET), min_size=5, max_size=11).filter(lambda code: code[0] != "A"))
def test_every_public_shortcode_comes_back_from_its_number(shortcode: str) -> None:
    assert from_pk(to_pk(shortcode) or "") == shortcode


@given(st.integers(min_value=64**4, max_value=2**64 - 1))
def test_every_number_comes_back_from_its_shortcode(number: int) -> None:
    shortcode = from_pk(str(number)) or ""
    assert SHORTCODE.fullmatch(shortcode)
    assert to_pk(shortcode) == str(number)


def test_capitals_count() -> None:
    assert to_pk("C4abcDEF123") != to_pk("c4abcdef123")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3312345678901234567, "3312345678901234567"),
        ("3312345678901234567", "3312345678901234567"),
        ("3312345678901234567_77", "3312345678901234567"),
        ("3312345678901234567_", "3312345678901234567"),
        (True, None),
        (1.5, None),
        (-5, None),
        ("77\n", None),
        (None, None),
        ({}, None),
    ],
)
def test_a_media_number_is_digits_alone_or_before_the_owner_s(value: object, number: str | None) -> None:
    assert media_number(value) == number
