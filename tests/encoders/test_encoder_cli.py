"""`ipath encoder` as a shell sees it."""

from pathlib import Path

import pytest

from tests.encoders.models import TINY, tiny_state
from tests.test_cli import Shell

pytestmark = pytest.mark.process


def test_an_encoder_is_registered_and_taken_into_use_from_the_shell(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    shell = Shell(tmp_path / "home")
    models = tmp_path / "home" / "models"
    models.mkdir(parents=True)
    (models / "tiny_clip.json").write_text(TINY.read_text())
    save_file(tiny_state(1), models / "run-1.safetensors")
    (models / "bad.safetensors").write_bytes(b"no model")
    add = ("encoder", "add", "tiny_clip.json", "--checkpoint")
    assert "There is no file ../x.pt in the models folder" in shell.run(*add, "../x.pt", code=1)
    assert "not a safetensors file" in shell.run(*add, "bad.safetensors", code=1)
    made = shell.json(*add, "run-1.safetensors")
    assert made == {"encoder": made["encoder"], "name": "tiny_clip/run-1", "width": 32, "weights": "trained"}
    assert "is in use" in shell.run("encoder", "use", made["encoder"])
