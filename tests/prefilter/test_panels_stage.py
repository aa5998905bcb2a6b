"""Panels, bars, borders and drawn marks on pictures with known truth; the crop they lead to is in test_crops.py."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from skimage import data as samples

from app.prefilter.policies import StageInput
from app.storage import blobs
from app.tables import Outcome
from bench import drawn
from bench.panels import _matched
from tests.factories import make_picture
from workers.ml import layout
from workers.ml.overlays import arrow_likeness
from workers.stages import panels as stage


@pytest.fixture(scope="module")
def tissue() -> Picture.Image:
    """An IHC micrograph that scikit-image carries, 512 × 512."""
    return Picture.fromarray(samples.immunohistochemistry())


def boxes_of(picture: bytes) -> drawn.Truth:
    return [(box.kind, (box.x, box.y, box.width, box.height)) for box in layout.find(picture).boxes]


def test_a_plain_micrograph_has_no_box_and_no_crop(tissue: Picture.Image) -> None:
    found = layout.find(drawn.jpeg(tissue))
    assert (found.boxes, found.crop) == ([], None)


@pytest.mark.parametrize("quality", [60, 95])
@pytest.mark.parametrize("ground", ["black", "#22304a", "#ffffff"])
def test_bars_above_and_below_are_borders_and_the_crop_is_what_they_leave(
    tissue: Picture.Image, ground: str, quality: int
) -> None:
    picture = Picture.new("RGB", (512, 800), ground)
    picture.paste(tissue, (0, 144))
    found = layout.find(drawn.jpeg(picture, quality))
    assert [box.kind for box in found.boxes] == ["border", "border"]
    assert found.crop
    assert found.crop.y == pytest.approx(144 / 800, abs=0.006)
    assert found.crop.height == pytest.approx(512 / 800, abs=0.012)
    assert (found.crop.x, found.crop.width) == (0, 1)


def test_a_round_field_and_glass_beside_the_tissue_are_no_borders(tissue: Picture.Image) -> None:
    rows, columns = np.mgrid[:512, :512]
    inside = ((rows - 256) ** 2 + (columns - 256) ** 2 < 250**2)[..., None]
    field = np.where(inside, np.asarray(tissue), 0).astype(np.uint8)
    waves = (rows < 150 + 60 * np.sin(columns / 40))[..., None]
    glass = np.where(waves, 244, np.asarray(tissue)).astype(np.uint8)
    for pixels in (field, glass):
        found = layout.find(drawn.jpeg(Picture.fromarray(pixels)))
        assert not {"border", "interface"} & {box.kind for box in found.boxes}
        assert found.crop is None


def test_a_screenshot_is_told_from_a_border_by_what_is_written_on_it(tissue: Picture.Image) -> None:
    picture, truth = drawn.screenshot(tissue, random.Random(4))
    found = boxes_of(drawn.jpeg(picture))
    assert [kind for kind, _ in found] == ["interface", "interface"]
    assert len(list(_matched(truth, found))) == 2


@pytest.mark.parametrize("gutter", [0, 6, 20])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_panels_of_a_collage_are_found(tissue: Picture.Image, gutter: int, seed: int) -> None:
    stained = Picture.fromarray(np.asarray(tissue)[::-1, :, ::-1].copy())  # brown becomes blue
    picture, truth = drawn.collage([tissue, stained], random.Random(seed), gutter)
    found = [box for box in boxes_of(drawn.jpeg(picture)) if box[0] == "panel"]
    assert len(list(_matched(truth, found))) == len(truth) == len(found)


@pytest.mark.parametrize("ink", ["black", "#ffee00", "#22dd22"])
@pytest.mark.parametrize("angle", [0, 30, 135, 250])
def test_a_drawn_arrow_is_found_whichever_way_it_points(tissue: Picture.Image, ink: str, angle: int) -> None:
    import math

    picture = tissue.copy()
    points = drawn._arrow((256, 256), 90, math.radians(angle))
    drawn.ImageDraw.Draw(picture).polygon(points, fill=ink)
    assert [kind for kind, _ in boxes_of(drawn.jpeg(picture))] == ["arrow"]


def test_a_line_of_letters_is_found(tissue: Picture.Image) -> None:
    picture = tissue.copy()
    drawn.ImageDraw.Draw(picture).text((30, 440), "@path_demo_01", "black", drawn.font(34))
    ((kind, (x, y, width, _)),) = boxes_of(drawn.jpeg(picture, 92))
    assert kind == "lettering"
    assert (x, y) == (pytest.approx(30 / 512, abs=0.08), pytest.approx(446 / 512, abs=0.04))
    assert width > 0.3


@pytest.mark.parametrize(
    "shape",
    [
        np.ones((60, 8), bool),
        np.ones((40, 40), bool),
        np.hypot(*(np.mgrid[:41, :41] - 20)) < 20,
        np.tri(40, dtype=bool),
        np.zeros((40, 40), bool),
        np.random.default_rng(1).random((40, 40)) > 0.5,
    ],
    ids=["bar", "square", "disc", "triangle", "nothing", "noise"],
)
def test_what_has_no_shaft_and_head_is_no_arrow(shape: np.ndarray) -> None:
    assert arrow_likeness(shape) == 0.0


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 3), (16, 16), (50, 2000)])
@pytest.mark.parametrize("colour", ["black", "white", "#ffee00"])
def test_pictures_of_any_shape_and_of_one_colour_have_no_boxes(size: tuple[int, int], colour: str) -> None:
    found = layout.find(drawn.jpeg(Picture.new("RGB", size, colour)))
    assert (found.boxes, found.crop) == ([], None)


# --- the stage ----------------------------------------------------------------------------------


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tests.conftest import forget_settings

    monkeypatch.setenv("IPATH_BLOBS", str(tmp_path))
    forget_settings()


def looked_at(picture: bytes) -> stage.StageResult:
    item = StageInput(7, 7, blobs().put(picture), None, "")
    (result,) = stage.run([item], {}, None)  # type: ignore[arg-type]  # the job is not asked
    return result


@pytest.mark.usefixtures("store")
def test_the_finding_has_boxes_in_fractions_and_never_a_score(tissue: Picture.Image) -> None:
    picture, _ = drawn.screenshot(tissue, random.Random(4))
    result = looked_at(drawn.jpeg(picture))
    assert (result.outcome, result.score, result.label) == (Outcome.OK, None, "screenshot")
    for box in [*result.evidence["boxes"], result.evidence["crop"]]:
        assert 0 <= box["x"] <= box["x"] + box["width"] <= 1.0001
        assert 0 <= box["y"] <= box["y"] + box["height"] <= 1.0001
        assert 0.5 <= box["confidence"] <= 1


@pytest.mark.usefixtures("store")
def test_a_picture_without_anything_around_it_offers_no_crop(tissue: Picture.Image) -> None:
    result = looked_at(drawn.jpeg(tissue))
    assert (result.label, result.evidence) == ("image", {"boxes": []})


def test_the_same_picture_gives_the_same_boxes(tissue: Picture.Image) -> None:
    picture = drawn.jpeg(drawn.collage([tissue], random.Random(1), 6)[0])
    assert layout.find(picture) == layout.find(picture)


@pytest.mark.parametrize("cut", [0, 10, 500])
def test_a_picture_that_is_none_or_cut_short_raises(tissue: Picture.Image, cut: int) -> None:
    with pytest.raises(OSError):
        layout.find(drawn.jpeg(tissue)[:cut])


def test_noise_has_neither_panels_nor_bars() -> None:
    noise = Picture.effect_noise((600, 500), 90).convert("RGB")
    buffer = io.BytesIO()
    noise.save(buffer, "JPEG")
    for picture in (buffer.getvalue(), make_picture(3)):
        assert not {"border", "interface"} & {kind for kind, _ in boxes_of(picture)}
