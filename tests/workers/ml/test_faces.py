"""Faces pasted on micrographs, and pictures without any."""

import pytest
from PIL import Image as Picture
from skimage import data as samples

from bench import drawn
from workers.ml import faces


@pytest.fixture(scope="module")
def tissue() -> Picture.Image:
    return Picture.fromarray(samples.immunohistochemistry())


@pytest.fixture(scope="module")
def face() -> Picture.Image:
    """A portrait's head and shoulders, 200 × 200."""
    return Picture.fromarray(samples.astronaut()).crop((125, 20, 325, 220))


def test_a_face_is_found_where_it_is(tissue: Picture.Image, face: Picture.Image) -> None:
    picture = tissue.resize((1000, 800))
    picture.paste(face, (600, 100))
    (found,) = faces.find(drawn.jpeg(picture))
    assert found.score >= faces.SURE
    assert found.x == pytest.approx((600 + 56) / 1000, abs=0.03)
    assert found.y == pytest.approx((100 + 42) / 800, abs=0.03)
    assert (found.width, found.height) == (pytest.approx(0.087, abs=0.03), pytest.approx(0.137, abs=0.04))


def test_every_face_is_found_the_surest_first(tissue: Picture.Image, face: Picture.Image) -> None:
    picture = tissue.resize((640, 640))
    picture.paste(face, (20, 20))
    picture.paste(face.resize((120, 120)), (400, 400))
    found = faces.find(drawn.jpeg(picture))
    assert len(found) == 2
    assert found[0].score >= found[1].score


def test_a_face_at_the_edge_stays_within_the_picture(face: Picture.Image) -> None:
    found = faces.find(drawn.jpeg(face.crop((40, 30, 160, 150)).resize((480, 480))))
    assert found
    for one in found:
        assert 0 <= one.x <= one.x + one.width <= 1.0001
        assert 0 <= one.y <= one.y + one.height <= 1.0001


@pytest.mark.parametrize("name", ["immunohistochemistry", "chelsea", "coffee", "rocket", "gravel"])
def test_tissue_animals_and_things_have_no_face(name: str) -> None:
    picture = Picture.fromarray(getattr(samples, name)()).convert("RGB")
    assert faces.find(drawn.jpeg(picture)) == []


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 3), (41, 41), (40, 640), (50, 2000)])
@pytest.mark.parametrize("colour", ["black", "white"])
def test_pictures_of_any_shape_and_of_one_colour_have_no_face(size: tuple[int, int], colour: str) -> None:
    assert faces.find(drawn.jpeg(Picture.new("RGB", size, colour))) == []


@pytest.mark.parametrize("cut", [0, 10, 500])
def test_a_picture_that_is_none_or_cut_short_raises(tissue: Picture.Image, cut: int) -> None:
    with pytest.raises(OSError):
        faces.find(drawn.jpeg(tissue)[:cut])
