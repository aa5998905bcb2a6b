"""Writing on micrographs with known words and places, and pictures without any."""

import logging

import pytest
from PIL import Image as Picture
from skimage import data as samples

from bench import drawn
from workers.ml import writing


@pytest.fixture(scope="module")
def tissue() -> Picture.Image:
    return Picture.fromarray(samples.immunohistochemistry()).resize((1000, 1000))


def written(ground: Picture.Image, *lines: tuple[tuple[int, int], str, str, int]) -> bytes:
    picture = ground.copy()
    for place, words, ink, size in lines:
        drawn.ImageDraw.Draw(picture).text(place, words, ink, drawn.font(size))
    return drawn.jpeg(picture)


def test_a_line_is_read_where_it_stands(tissue: Picture.Image) -> None:
    (line,) = writing.find(written(tissue, ((60, 880), "MRN 1234567", "black", 32)))
    assert (line.text, line.score >= writing.SURE) == ("MRN 1234567", True)
    assert (line.x, line.y) == (pytest.approx(0.06, abs=0.01), pytest.approx(0.885, abs=0.015))
    assert (line.width, line.height) == (pytest.approx(0.2, abs=0.04), pytest.approx(0.03, abs=0.015))


def test_lines_come_from_top_to_bottom_and_from_left_to_right(tissue: Picture.Image) -> None:
    lines = (
        ((60, 880), "S23-12345", "black", 30),
        ((500, 884), "CASE-17", "black", 30),
        ((60, 40), "200 µm", "white", 40),
    )
    found = writing.find(written(tissue, *lines))
    assert [line.text for line in found[1:]] == ["S23-12345", "CASE-17"]
    assert found[0].text.startswith("200")
    assert found[1].goes_on(found[2])
    assert not found[0].goes_on(found[1])


def test_a_large_picture_is_read_as_well_as_a_small_one(tissue: Picture.Image) -> None:
    picture = written(tissue.resize((4000, 4000)), ((200, 3500), "MRN 1234567", "black", 120))
    assert [line.text for line in writing.find(picture)] == ["MRN 1234567"]


def test_tissue_has_no_writing(tissue: Picture.Image) -> None:
    assert writing.find(drawn.jpeg(tissue)) == []


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 3), (16, 16), (50, 2000)])
@pytest.mark.parametrize("colour", ["black", "white"])
def test_pictures_of_any_shape_and_of_one_colour_have_no_writing(size: tuple[int, int], colour: str) -> None:
    assert writing.find(drawn.jpeg(Picture.new("RGB", size, colour))) == []


@pytest.mark.parametrize("cut", [0, 10, 500])
def test_a_picture_that_is_none_or_cut_short_raises(tissue: Picture.Image, cut: int) -> None:
    with pytest.raises(OSError):
        writing.find(drawn.jpeg(tissue)[:cut])


def test_what_is_read_is_never_logged(
    tissue: Picture.Image, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert writing.find(written(tissue, ((60, 880), "MRN 1234567", "black", 32)))
    assert "1234567" not in caplog.text
    assert "1234567" not in "".join(capfd.readouterr())
