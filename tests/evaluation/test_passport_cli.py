"""`ipath evaluate` as a shell sees it, and a passport that is run again in a home that knows nothing of the first."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.encoders.models import TINY, tiny_state
from tests.evaluation.fixtures.pictures import save, tissue
from tests.test_cli import Shell, answers, until

pytestmark = pytest.mark.process

EACH = 6


def home_with_model(home: Path, checkpoint: str) -> Path:
    from safetensors.torch import save_file

    models = home / "models"
    models.mkdir(parents=True)
    (models / "tiny_clip.json").write_text(TINY.read_text())
    save_file(tiny_state(1), models / checkpoint)
    return models


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """`ipath serve` on a home with a model's weights and a set, so that each command need not start a worker."""
    made = Shell(tmp_path / "home")
    home_with_model(made.home, "run-1.safetensors")
    for split in ("train", "test"):
        for kind, label in enumerate(("pale", "dense")):
            for number in range(EACH):
                seed = 10 * number + (split == "test")
                path = made.home / "evaluation-sets" / "made" / split / label / f"{number}.png"
                save(tissue(3 * kind, seed, (80, 80)), path)
    process = made.start("serve")
    until(lambda: answers(made.url), 120)
    yield made
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_a_model_is_measured_and_its_passport_gives_the_same_predictions_elsewhere(
    shell: Shell, tmp_path: Path
) -> None:
    shell.run("encoder", "add", "tiny_clip.json", "--checkpoint", "run-1.safetensors", "--name", "tiny")
    made = shell.json("evaluation-set", "made", "--name", "Made")
    assert (made["layout"], made["pictures"], made["ready"]) == ("folders", 4 * EACH, True)
    asked = ("evaluate", "--model", "tiny", "--set", "Made", "--task", "zero-shot")
    (found,) = shell.json(*asked)["evaluations"]
    assert (found["model"], found["on"]) == ("tiny", "Made")
    assert 0 <= found["figures"]["accuracy"]["value"] <= 1
    assert shell.json(*asked)["evaluations"][0]["evaluation"] == found["evaluation"], "what is there is not done again"
    assert "There is no model nobody. There are: tiny" in shell.run("evaluate", "--model", "nobody", code=1)

    elsewhere, moved = Shell(tmp_path / "elsewhere"), tmp_path / "unpacked" / "somewhere"
    models = home_with_model(elsewhere.home, "same.safetensors")
    passport = tmp_path / "given.json.gz"
    shutil.copy(shell.home / "evaluations" / str(found["evaluation"]) / "passport.json.gz", passport)
    shutil.copytree(shell.home / "evaluation-sets" / "made", moved)
    again = ("evaluate", "--passport", passport, "--root", moved, "--weights", models / "same.safetensors")
    assert f"The same predictions: {2 * EACH} of {2 * EACH} are the same." in elsewhere.run(*again)


def test_a_file_that_is_no_passport_is_refused_before_anything_starts(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "home")
    (tmp_path / "x").write_bytes(b"\x1f\x8b nonsense")
    assert "no passport" in shell.run("evaluate", "--passport", tmp_path / "x", code=1)
    assert shell.processes() == []
