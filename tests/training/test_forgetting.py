"""The forgetting meter: what a CLIP still knows of drawn shapes, measured the same way every time."""

from pathlib import Path
from typing import Any

import pytest

from workers.ml import forgetting
from workers.ml.encoder import Encoder, EncoderSpec, load_encoder

TINY = str(Path(__file__).parents[1] / "tiny_clip.json")


def tiny() -> Encoder:
    return load_encoder(EncoderSpec("open_clip", TINY))


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return forgetting.measure(tiny())


def test_random_weights_know_nothing_and_the_measure_says_so(found: dict[str, Any]) -> None:
    assert found["random"] is True
    assert found["chance"] == pytest.approx(1 / 48)
    assert found["counting"]["chance"] == 1 / 4
    for one in (found, found["counting"]):
        assert one["low"] <= one["accuracy"] <= one["high"]
        assert one["low"] < one["chance"] + 0.05


def test_the_same_weights_measure_the_same(found: dict[str, Any]) -> None:
    assert forgetting.measure(tiny()) == found


def test_every_class_is_shown_as_often_as_every_other() -> None:
    coloured = [truth for _, truth in forgetting._coloured()]
    assert {coloured.count(truth) for truth in set(coloured)} == {forgetting.A_CLASS}
    assert set(coloured) == set(forgetting.COLOURED)
    counted = [truth for _, truth in forgetting._counted()]
    assert {counted.count(truth) for truth in set(counted)} == {forgetting.A_COUNT}


def test_a_network_without_a_text_tower_is_refused() -> None:
    with pytest.raises(ValueError, match="pictures only"):
        forgetting.measure(load_encoder(EncoderSpec("timm", "test_vit")))
