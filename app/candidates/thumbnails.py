"""Small square copies of pictures, made when first asked for and kept as files."""

import io
from contextlib import suppress

from PIL import Image, ImageOps

from app.config import settings
from app.publish import publish_file
from app.storage import blobs

SIDE = 176


def thumbnail(sha256: str) -> bytes:
    """A JPEG of 176 × 176 px: the middle of the picture. Raises FileNotFoundError without its blob."""
    path = settings().home_path / "thumbs" / sha256[:2] / f"{sha256}.jpg"
    with suppress(OSError):
        return path.read_bytes()
    small = make_thumbnail(blobs().get(sha256))
    with suppress(OSError), publish_file(path) as draft:  # a full disk costs the copy, not the page
        draft.file.write(small)
    return small


def make_thumbnail(data: bytes) -> bytes:
    """The JPEG decoder itself reduces while it reads (`draft`), so a large picture costs little."""
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
        picture.draft("RGB", (2 * SIDE, 2 * SIDE))
        small = ImageOps.fit(picture.convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=82, optimize=True)
    return buffer.getvalue()
