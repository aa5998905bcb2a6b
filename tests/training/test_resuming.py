"""A run that is killed goes on at its last epoch's border as if it had never stopped (RELIABILITY I8)."""

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.shards import QUICK, command, steps, train, write_shards
from workers.ml.curves import Step, read_results

SAME = 1e-6


def kill_at(argv: list[str], folder: Path, step: int) -> None:
    """Starts the trainer and kills it, with its loading processes, once it has logged the step."""
    with (folder.parent / "killed.log").open("wb") as log:
        child = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 180
        while step not in steps(folder):
            assert child.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline, "it took too long"
            time.sleep(0.02)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def assert_equal(one: dict[int, Step], other: dict[int, Step]) -> None:
    assert one.keys() == other.keys()
    for number, step in one.items():
        assert other[number].loss == pytest.approx(step.loss, abs=SAME), number
        assert other[number].learning_rate == pytest.approx(step.learning_rate, abs=SAME)
        assert other[number].logit_scale == pytest.approx(step.logit_scale, abs=SAME)


@pytest.mark.process
def test_a_run_killed_within_an_epoch_gives_the_uninterrupted_curve_even_with_random_crops(tmp_path: Path) -> None:
    rules = replace(QUICK, epochs=4, smallest_crop=0.5)
    data = write_shards(tmp_path / "data")
    whole, broken = tmp_path / "runs" / "whole", tmp_path / "runs" / "broken"
    assert train(command(rules, data, whole)).returncode == 0
    kill_at(command(rules, data, broken), broken, 7)  # in the third of four epochs
    assert train(command(rules, data, broken)).returncode == 0
    assert sorted(steps(broken)) == list(range(12))
    assert_equal(steps(whole), steps(broken))
    there, here = (read_results(folder / "checkpoints/results.jsonl") for folder in (whole, broken))
    assert [here[epoch]["clip_val_loss"] for epoch in there] == pytest.approx(
        [figures["clip_val_loss"] for figures in there.values()], abs=SAME
    )
    last = [torch.load(folder / "checkpoints/epoch_latest.pt", weights_only=True) for folder in (whole, broken)]
    for name, value in last[0]["state_dict"].items():
        torch.testing.assert_close(last[1]["state_dict"][name], value, atol=SAME, rtol=0)
