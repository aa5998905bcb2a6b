"""Views that two pictures share: found in what is cut, framed, turned and smaller, and in nothing else."""

from collections.abc import Callable

import pytest
from PIL import Image, ImageDraw

from tests.duplicates.test_shared_views import as_jpeg, texture
from workers.ml.shared_view import Sight, View, shared_view

T = Image.Transpose
WHOLE = texture(1)


def seen(one: Image.Image, other: Image.Image) -> View | None:
    return shared_view(Sight(as_jpeg(one)), Sight(as_jpeg(other)))


def framed(picture: Image.Image, words: str) -> Image.Image:
    """A screen with the same signs around every picture."""
    screen = Image.new("RGB", (picture.width + 40, picture.height + 360), "white")
    screen.paste(picture, (20, 120))
    draw = ImageDraw.Draw(screen)
    for row in range(12):
        draw.text((30 + 50 * (row % 5), 10 + 8 * row), f"{row} path_demo", "black")
        draw.text((30 + 40 * row, picture.height + 150 + 15 * row), words, "black")
    return screen


CHANGES: dict[str, tuple[Callable[[Image.Image], Image.Image], float]] = {
    "cut": (lambda p: p.crop((96, 96, 544, 544)), 0.49),
    "a corner": (lambda p: p.crop((0, 0, 480, 500)), 0.59),
    "framed": (lambda p: framed(p, "Case of the week"), 0.6),
    "turned": (lambda p: p.transpose(T.ROTATE_90), 1.0),
    "mirrored": (lambda p: p.transpose(T.FLIP_TOP_BOTTOM), 1.0),
    "smaller": (lambda p: p.resize((300, 300)), 1.0),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_changed_is_found_from_either_side(name: str) -> None:
    change, least = CHANGES[name]
    for view in (seen(change(WHOLE), WHOLE), seen(WHOLE, change(WHOLE))):
        assert view
        assert view.agrees > 0.9
        assert max(view.covers) > 0.97
        assert min(view.covers) == pytest.approx(least, abs=0.1)
        assert view.is_mirrored == (name == "mirrored")


def test_the_view_lies_where_it_was_cut_also_in_a_mirrored_picture() -> None:
    box = (60 / 640, 100 / 640, 400 / 640, 500 / 640)
    cut = WHOLE.crop((60, 100, 460, 600))
    for one, where in ((cut, box), (cut.transpose(T.FLIP_LEFT_RIGHT), box)):
        view = seen(one, WHOLE)
        assert view
        assert view.boxes[1] == pytest.approx(where, abs=0.01)
        assert view.boxes[0] == pytest.approx((0, 0, 1, 1), abs=0.01)
    mirrored = seen(WHOLE, cut.transpose(T.FLIP_LEFT_RIGHT))
    assert mirrored
    assert mirrored.boxes[0] == pytest.approx(box, abs=0.01)


def test_another_picture_on_the_same_screen_does_not_agree() -> None:
    view = seen(framed(WHOLE, "Case of the week"), framed(texture(2), "Case of the week"))
    assert view is None or view.agrees < 0.6


@pytest.mark.parametrize("other", [texture(2), Image.new("RGB", (640, 640), "white"), Image.new("RGB", (3, 700))])
def test_pictures_that_share_nothing_share_no_view(other: Image.Image) -> None:
    view = seen(WHOLE, other)
    assert view is None or view.agrees < 0.5


def test_an_undecodable_picture_raises_os_error() -> None:
    with pytest.raises(OSError):
        Sight(b"\xff\xd8\xff\xe0 cut short")
