import io
from pathlib import Path

import pytest
from PIL import Image

from app.candidates.thumbnails import SIDE, make_thumbnail, thumbnail
from app.config import settings
from app.storage import blobs
from tests.factories import make_picture


@pytest.mark.parametrize("size", [(300, 280), (1600, 400), (90, 2000), (64, 64)])
def test_every_shape_becomes_a_square(size: tuple[int, int]) -> None:
    small = Image.open(io.BytesIO(make_thumbnail(make_picture(1, *size))))
    assert (small.size, small.format, small.mode) == ((SIDE, SIDE), "JPEG", "RGB")


def kept(sha256: str) -> Path:
    return settings().home_path / "thumbs" / sha256[:2] / f"{sha256}.jpg"


def test_it_is_made_once_and_then_read(tmp_path: Path) -> None:
    sha256 = blobs().put(make_picture(4711))
    made = thumbnail(sha256)
    assert kept(sha256).read_bytes() == made
    assert [path.name for path in kept(sha256).parent.iterdir() if path.name.startswith(".")] == []
    kept(sha256).write_bytes(b"as kept")
    assert thumbnail(sha256) == b"as kept"


def test_a_folder_that_cannot_be_written_costs_only_the_copy() -> None:
    sha256 = blobs().put(make_picture(4712))
    kept(sha256).parent.parent.mkdir(parents=True, exist_ok=True)
    in_the_way = kept(sha256).parent
    if in_the_way.is_dir():
        in_the_way.rename(in_the_way.with_suffix(".aside"))
    in_the_way.write_text("a file where a folder should be")
    try:
        assert Image.open(io.BytesIO(thumbnail(sha256))).size == (SIDE, SIDE)
    finally:
        in_the_way.unlink()


def test_without_its_blob_there_is_none() -> None:
    with pytest.raises(FileNotFoundError):
        thumbnail("0" * 64)
