"""A run that is killed goes on at its last epoch's border as if it had never stopped (RELIABILITY I8)."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.shards import QUICK, command, steps, train, write_shards
from workers.ml.curves import Step, read_results

SAME = 1e-6


def start(argv: list[str], folder: Path) -> "subprocess.Popen[bytes]":
    """The trainer in a group of its own with its loading processes."""
    with (folder.parent / "killed.log").open("ab") as log:
        return subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)


def kill_when(argv: list[str], folder: Path, is_due: Callable[[int], bool], pause: float) -> None:
    """Starts the trainer and kills it, with its loading processes, once `is_due` says so of its group."""
    child = start(argv, folder)
    try:
        deadline = time.monotonic() + 180
        while not is_due(child.pid):
            assert child.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline, "it took too long"
            time.sleep(pause)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def is_saving(checkpoint: Path, group: int) -> bool:
    """Stops the trainer where it writes a checkpoint at this moment, for it takes milliseconds."""
    if not checkpoint.exists():
        return False
    os.killpg(group, signal.SIGSTOP)
    if not checkpoint.exists():
        os.killpg(group, signal.SIGCONT)
    return checkpoint.exists()


def assert_equal(one: dict[int, Step], other: dict[int, Step]) -> None:
    assert one.keys() == other.keys()
    for number, step in one.items():
        assert other[number].loss == pytest.approx(step.loss, abs=SAME), number
        assert other[number].learning_rate == pytest.approx(step.learning_rate, abs=SAME)
        assert other[number].logit_scale == pytest.approx(step.logit_scale, abs=SAME)


@pytest.mark.process
def test_a_run_killed_within_a_save_and_within_an_epoch_gives_the_uninterrupted_curve_even_with_random_crops(
    tmp_path: Path,
) -> None:
    rules = replace(QUICK, epochs=4, smallest_crop=0.5)
    data = write_shards(tmp_path / "data")
    whole, broken = tmp_path / "runs" / "whole", tmp_path / "runs" / "broken"
    checkpoints = broken / "checkpoints"
    assert train(command(rules, data, whole)).returncode == 0

    argv = command(rules, data, broken)
    kill_when(argv, broken, lambda group: is_saving(checkpoints / "tmp.pt", group), 0.0002)
    saved = len(steps(broken)) // 3 - 1
    assert saved < rules.epochs - 1
    if saved:
        assert torch.load(checkpoints / "epoch_latest.pt", weights_only=True)["epoch"] == saved
    kill_when(argv, broken, lambda _: 3 * saved + 4 in steps(broken), 0.02)  # within the epoch after that
    assert train(argv).returncode == 0
    assert sorted(steps(broken)) == list(range(12))
    assert_equal(steps(whole), steps(broken))
    there, here = (read_results(folder / "checkpoints/results.jsonl") for folder in (whole, broken))
    assert [here[epoch]["clip_val_loss"] for epoch in there] == pytest.approx(
        [figures["clip_val_loss"] for figures in there.values()], abs=SAME
    )
    last = [torch.load(folder / "checkpoints/epoch_latest.pt", weights_only=True) for folder in (whole, broken)]
    for name, value in last[0]["state_dict"].items():
        torch.testing.assert_close(last[1]["state_dict"][name], value, atol=SAME, rtol=0)
