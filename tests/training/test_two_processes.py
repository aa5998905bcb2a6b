"""Two processes (gloo, under torchrun) train as one does on the same pairs a step."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from app.training.command import arguments
from tests.training.shards import QUICK, TINY, command, steps, train, write_shards
from workers.ml.curves import read_results

ROOT = Path(__file__).parents[2]
CLOSE = 1e-4


@pytest.mark.process
def test_two_processes_train_as_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch is one step over all pairs, so that both see the same batch whoever reads which shard."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    data = write_shards(tmp_path / "data", train=32, shards=2)
    one, two = tmp_path / "runs" / "one", tmp_path / "runs" / "two"
    rules = replace(QUICK, epochs=3, learning_rate=3e-4)
    done = train(command(replace(rules, batch_size=32), data, one))
    assert done.returncode == 0, done.stdout[-3000:]
    words = arguments(replace(rules, batch_size=16), TINY, data, two, processes=2)
    at = words.index("--module")  # the same command, but for the launcher
    done = train([sys.executable, *words[:at], "--", str(Path(__file__).parent / "gloo.py"), *words[at + 3 :]], 400)
    assert done.returncode == 0, done.stdout[-3000:]
    assert sorted(steps(two)) == sorted(steps(one)) == list(range(3))
    there, here = (read_results(folder / "checkpoints/results.jsonl") for folder in (one, two))
    assert sorted(here) == sorted(there) == list(range(1, 4))
    for epoch, figures in there.items():
        assert here[epoch]["clip_val_loss"] == pytest.approx(figures["clip_val_loss"], abs=CLOSE), epoch
    assert (two / "checkpoints/best.pt").exists()
