"""`ipath train` as a shell sees it: what it would take, what is refused, and a run that it follows to its model."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app import cli
from app.errors import AppError
from tests.test_cli import Shell

PRACTICE = ("train", "--practice", "--set", "epochs=1", "--set", "batch_size=512", "--set", "warmup_steps=0")
MINUTES = 8 * 60  # beside other tests on a busy machine; alone it takes less than one


def refused(*words: str) -> str:
    """What the command ends with, as a sentence of its own or as an error that `main` prints."""
    told = CliRunner().invoke(cli.app, words)
    assert told.exit_code == 1, told.output
    error = told.exception
    said = f"{error.message} {error.what_next}" if isinstance(error, AppError) else told.output
    return " ".join(said.split())


@pytest.mark.usefixtures("database_url")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Name --snapshot and --base or --from-scratch, or take --practice."),
        (("--snapshot", "1"), "Name --snapshot"),
        (("--snapshot", "9", "--from-scratch", "ViT-B-32"), "There is no snapshot v0009 whose files are written."),
        (("--practice", "--base", "nobody"), "There is no model named nobody. `ipath encoder add` registers one."),
        (("--practice", "--set", "speed=9"), "speed=9 is no setting."),
        (("--practice", "--set", "warmup_steps=900"), "never ends"),
        (("--practice", "--set", "warmup_steps=900", "--dry-run", "--json"), "never ends"),
    ],
)
def test_what_can_t_be_is_said_with_what_to_do(words: tuple[str, ...], said: str) -> None:
    assert said in refused("train", *words)


@pytest.mark.process
def test_a_dry_run_says_what_it_would_take_and_a_run_is_followed_until_its_model_is_there(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "home")
    said = shell.json(*PRACTICE, "--dry-run")
    assert (said["pairs"], said["steps"], said["problems"]) == (2_048, 4, {})
    assert said["seconds"] is None
    assert "--batch-size 512" in said["command"]
    assert not (shell.home / "runs").exists()

    process = shell.start(*PRACTICE, "--json")
    stdout, stderr = process.communicate(timeout=MINUTES)
    assert process.returncode == 0, stderr
    (run,) = json.loads(stdout)["runs"]
    assert (run["run"], run["best_epoch"], run["model"]) == (1, 1, "ip-clip practice run 1")
    assert 0 < run["recall"] <= 1
    assert shell.processes("workers.ml.trainer") == []
