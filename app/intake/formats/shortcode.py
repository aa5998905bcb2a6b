"""Instagram's two names of a post: a shortcode is its media number in URL-safe base64."""

import re

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
SHORTCODE = re.compile(r"[A-Za-z0-9_-]{5,64}")
NUMBER = re.compile(r"([0-9]{1,20})(?:_[0-9]*)?")  # alone, or with the owner's behind it
PUBLIC = 11  # longer ones are of private posts: the rest is a key, not part of the number


def to_pk(shortcode: str) -> str | None:
    """The media number of a shortcode as text; None for what is no shortcode."""
    if not SHORTCODE.fullmatch(shortcode):
        return None
    number = 0
    for letter in shortcode[:PUBLIC]:
        number = number * 64 + ALPHABET.index(letter)
    return str(number)


def media_number(value: object) -> str | None:
    """The media number in `<pk>` or `<pk>_<owner>`, as number or text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    match = NUMBER.fullmatch(value) if isinstance(value, str) else NUMBER.fullmatch(f"{value:d}")
    return match[1] if match else None


def from_pk(pk: str) -> str | None:
    """The shortcode of a media number (`<pk>` or `<pk>_<owner>`); None for what is no post's number."""
    digits = media_number(pk)
    if digits is None:
        return None
    number, letters = int(digits), ""
    while number:
        number, rest = divmod(number, 64)
        letters = ALPHABET[rest] + letters
    return letters if SHORTCODE.fullmatch(letters) else None
