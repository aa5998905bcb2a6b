"""Judgements about what is read that need no database."""

import hashlib

ASPECT_TOLERANCE = 0.02


def belongs(declared: tuple[int | None, int | None], width: int, height: int) -> bool:
    """Whether a picture has the shape that its post's metadata declares.

    Two posts of one second can share a file name, and then only the shape tells whose picture it is.
    """
    declared_width, declared_height = declared
    if not declared_width or not declared_height:
        return True
    ratio = (width / height) / (declared_width / declared_height)
    return abs(ratio - 1) <= ASPECT_TOLERANCE


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
