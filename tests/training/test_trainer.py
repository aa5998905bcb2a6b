"""The launcher around open_clip_train: what it keeps, when it ends, and what it does not let pass."""

import json
import math
import os
import shutil
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transformer import QuickGELU
from open_clip_train.data import get_wds_dataset
from PIL.Image import Image
from safetensors.torch import load_file, save_file

from app.jobs import RunningJob
from app.training.checks import fitting_loaders, steps_per_epoch
from app.training.command import Data
from tests.training.shards import QUICK, TINY, command, steps, train, write_shards
from workers.ml import trainer
from workers.ml.curves import IN_USE, NOT_FINITE, best_epoch, read_results
from workers.ml.trainer import _alone, _created, _repeatable, _saved, keep_best, readable_latest
from workers.trainer_failures import explain
from workers.training_watch import Watch

pytestmark = pytest.mark.filterwarnings("ignore:.*QuickGELU:UserWarning")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return write_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def finished(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of three epochs."""
    folder = tmp_path_factory.mktemp("runs") / "1"
    done = train(command(QUICK, data, folder))
    assert done.returncode == 0, done.stdout[-3000:]
    return folder


def loaded(path: Path) -> Any:
    return torch.load(path, weights_only=True)


# --- what a run leaves --------------------------------------------------------------------------


def test_the_loss_falls_and_every_step_is_logged(finished: Path) -> None:
    found = steps(finished)
    assert sorted(found) == list(range(9))
    assert np.mean([found[step].loss for step in (6, 7, 8)]) < np.mean([found[step].loss for step in (0, 1, 2)])


def test_every_epoch_is_validated_and_the_best_is_kept_as_a_link(finished: Path) -> None:
    checkpoints = finished / "checkpoints"
    results = read_results(checkpoints / "results.jsonl")
    assert sorted(results) == [1, 2, 3]
    best = best_epoch(results, "recall")
    assert loaded(checkpoints / "best.pt")["epoch"] == best
    assert loaded(checkpoints / "epoch_latest.pt")["epoch"] == 3
    same = (checkpoints / "best.pt").samefile(checkpoints / "epoch_latest.pt")
    assert same == (best == 3)


def test_the_trainer_says_what_it_is_and_how_far_it_got(finished: Path) -> None:
    said = json.loads((finished / "started.json").read_bytes())
    assert (said["epoch"], said["saved"], said["steps_per_epoch"], said["processes"]) == (0, 3, 3, 1)
    assert said["parameters"] == sum(
        one.numel() for one in loaded(finished / "checkpoints/best.pt")["state_dict"].values()
    )
    assert said["versions"]["open_clip_torch"] == "3.3.0"


# --- when it ends -------------------------------------------------------------------------------


def test_weights_that_are_no_numbers_are_never_saved_and_the_last_good_ones_stay(
    finished: Path, data: Data, tmp_path: Path
) -> None:
    folder = tmp_path / "1"
    shutil.copytree(finished, folder)
    good = loaded(folder / "checkpoints/epoch_latest.pt")["state_dict"]
    best = loaded(folder / "checkpoints/best.pt")["epoch"]
    done = train(command(replace(QUICK, epochs=4, learning_rate=1e30), data, folder))
    assert done.returncode != 0
    assert f"{NOT_FINITE} 4." in done.stdout
    kept = loaded(folder / "checkpoints/epoch_latest.pt")
    assert kept["epoch"] == 3
    assert all(torch.equal(kept["state_dict"][key], value) for key, value in good.items())
    assert loaded(folder / "checkpoints/best.pt")["epoch"] == best


HOLDER = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"


def test_a_second_process_in_the_folder_of_a_run_is_refused(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout
        first.stdout.readline()
        with pytest.raises(SystemExit, match=IN_USE), _alone(tmp_path):
            pass
        first.kill()
    with _alone(tmp_path):
        pass


def test_a_name_that_is_used_again_ends_with_code_0_and_counts_as_nothing_done(data: Data, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1/out.log").touch()
    words = command(QUICK, data, tmp_path / "1")
    at = words.index("--resume")
    done = train(words[:at] + words[at + 2 :])
    assert done.returncode == 0
    assert "Experiment already exists" in done.stdout
    watch = Watch(RunningJob(1, "finetune", uuid4(), {}, {}, 0, None, "steps", None), 1, tmp_path / "1", QUICK)
    assert not watch.is_complete
    failure = explain(QUICK, done.stdout, done.returncode, watch.saved)
    assert failure.said.startswith("The trainer failed: Error. Experiment already exists.")


def test_partly_locked_towers_siglip_and_gathered_steps_train_until_the_patience_is_over(
    data: Data, tmp_path: Path
) -> None:
    """More loaders than validation shards, too. At such a rate no epoch is better than the first."""
    rules = replace(
        QUICK,
        epochs=6,
        learning_rate=1e-30,
        patience=1,
        batch_size=8,
        accumulate=2,
        siglip=True,
        lock_image=True,
        unlocked_image_groups=1,
        lock_text=True,
        unlocked_text_layers=1,
        checkpoint_gradients=True,
        clip_gradients=1.0,
        loaders=2,
        schedule="const",
    )
    done = train(command(rules, data, tmp_path / "1"))
    assert done.returncode == 0, done.stdout[-3000:]
    assert steps_per_epoch(rules, data.sizes) == 3
    assert sorted(steps(tmp_path / "1")) == list(range(2 * 3))
    results = read_results(tmp_path / "1/checkpoints/results.jsonl")
    assert sorted(results) == [1, 2]
    assert results[1]["num_samples"] == data.val_pairs
    assert loaded(tmp_path / "1/checkpoints/best.pt")["epoch"] == 1
    assert json.loads((tmp_path / "1/started.json").read_bytes())["saved"] == 2


# --- the order of pairs -------------------------------------------------------------------------


def captions(data: Data, folder: Path, batch: int, loaders: int, epoch: int = 0) -> list[list[str]]:
    """The batches of an epoch as the trainer meets them, by their captions."""
    args = Namespace(
        train_data=data.train,
        train_num_samples=data.train_pairs,
        train_data_upsampling_factors=None,
        workers=loaders,
        batch_size=batch,
        world_size=1,
        rank=0,
        seed=0,
        epochs=1,
        accum_freq=1,
        device="cpu",
    )

    def get_data(args: Namespace, epoch: int) -> dict[str, Any]:
        return {"train": get_wds_dataset(args, _size, is_train=True, epoch=epoch, tokenizer=lambda text: [text])}

    return [texts for _, texts in _repeatable(get_data, folder, "", args, epoch=epoch)["train"].dataloader]


def _size(picture: Image) -> int:
    return picture.width


def test_a_second_pass_within_an_epoch_brings_other_batches_and_the_same_ones_when_it_is_repeated(
    data: Data, tmp_path: Path
) -> None:
    first, second = captions(data, tmp_path, batch=32, loaders=1)  # of 48 pairs, 16 are left at each pass
    assert sorted(first) != sorted(second)
    assert captions(data, tmp_path, batch=32, loaders=1) == [first, second]
    assert captions(data, tmp_path, batch=32, loaders=1, epoch=1) != [first, second]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_loaders_whose_shards_hold_less_than_a_batch_are_never_started(data: Data, tmp_path: Path) -> None:
    rules = replace(QUICK, batch_size=16, loaders=4)  # each of four would have 12 pairs, and turn for ever
    loaders = fitting_loaders(rules, data.sizes, 1)
    batches = captions(data, tmp_path, 16, loaders)
    assert loaders == 2
    assert [len(batch) for batch in batches] == [16] * steps_per_epoch(rules, data.sizes)


# --- checkpoints --------------------------------------------------------------------------------


def save(path: Path, epoch: int) -> None:
    path.parent.mkdir(exist_ok=True)
    torch.save({"epoch": epoch, "state_dict": {"w": torch.rand(1_000)}, "optimizer": {}}, path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


def test_a_broken_checkpoint_gives_way_to_the_best_one(tmp_path: Path) -> None:
    save(tmp_path / "epoch_latest.pt", 4)
    save(tmp_path / "best.pt", 2)
    assert readable_latest(tmp_path) == ""
    cut(tmp_path / "epoch_latest.pt")
    assert readable_latest(tmp_path).endswith("it goes on from the best epoch.")
    assert loaded(tmp_path / "epoch_latest.pt")["epoch"] == 2
    assert readable_latest(tmp_path) == ""


def test_a_run_without_any_readable_checkpoint_starts_again(tmp_path: Path) -> None:
    for name in ("epoch_latest.pt", "best.pt"):
        save(tmp_path / name, 1)
        cut(tmp_path / name)
    assert readable_latest(tmp_path).endswith("it starts again.")
    assert not list(tmp_path.iterdir())


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("run-by-a-checkpoint"),)


def test_a_checkpoint_that_would_run_code_is_broken_and_runs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"epoch": 1, "state_dict": Hostile(), "optimizer": {}}, tmp_path / "epoch_latest.pt")
    assert readable_latest(tmp_path).endswith("it starts again.")
    assert not (tmp_path / "run-by-a-checkpoint").exists()


def test_best_stays_when_a_later_epoch_is_worse_and_unsaved_epochs_do_not_count(tmp_path: Path) -> None:
    save(tmp_path / "epoch_latest.pt", 1)
    lines = [{"epoch": epoch, "clip_val_loss": loss} for epoch, loss in ((1, 2.0), (2, 3.0), (3, 1.0))]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    keep_best(tmp_path, "loss", 1)
    save(tmp_path / "tmp.pt", 2)
    (tmp_path / "tmp.pt").replace(tmp_path / "epoch_latest.pt")
    keep_best(tmp_path, "loss", 2)
    assert loaded(tmp_path / "best.pt")["epoch"] == 1


def test_an_epoch_that_is_the_best_once_more_leaves_no_other_file(tmp_path: Path) -> None:
    save(tmp_path / "epoch_latest.pt", 1)
    (tmp_path / "results.jsonl").write_text('{"epoch": 1, "clip_val_loss": 2.0}\n')
    for _ in range(2):
        keep_best(tmp_path, "loss", 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "epoch_latest.pt", "results.jsonl"]


def test_a_checkpoint_is_on_the_disk_before_it_is_told_as_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    really = os.fsync

    def fsync(opened: int) -> None:
        synced.append(Path(f"/proc/self/fd/{opened}").readlink())
        assert not (tmp_path / "started.json").exists()
        really(opened)

    monkeypatch.setattr(trainer.os, "fsync", fsync)
    save(tmp_path / "checkpoints/epoch_latest.pt", 1)
    (tmp_path / "checkpoints/results.jsonl").write_text('{"epoch": 1, "clip_val_loss": 2.0}\n')
    _saved(tmp_path, "loss", 1)
    assert synced == [tmp_path / "checkpoints/epoch_latest.pt", tmp_path / "checkpoints"]
    assert loaded(tmp_path / "checkpoints/best.pt")["epoch"] == 1
    assert json.loads((tmp_path / "started.json").read_bytes()) == {"saved": 1}


# --- the network it starts from -----------------------------------------------------------------


def package(folder: Path, **more: Any) -> str:
    """A folder that open_clip loads, of the tiny network with drawn weights."""
    config = json.loads(TINY.config.read_text()) | more if TINY.config else {}
    held = {"model_cfg": config, "preprocess_cfg": {}}
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps(held))
    torch.manual_seed(3)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


def test_siglip_on_a_base_without_a_bias_starts_scale_and_bias_anew(tmp_path: Path) -> None:
    named = {"init_logit_scale": math.log(10), "init_logit_bias": -10}
    plain, _, _ = open_clip.create_model_and_transforms(package(tmp_path / "base"), **named)
    assert plain.logit_bias.item() == 0  # what open_clip makes of it
    begun, _, _ = _created(open_clip.create_model_and_transforms, tmp_path, f"local-dir:{tmp_path}/base", **named)
    assert begun.logit_scale.item() == pytest.approx(math.log(10))
    assert begun.logit_bias.item() == -10


def test_siglip_on_a_base_with_a_bias_keeps_what_the_base_learned(tmp_path: Path) -> None:
    named = {"init_logit_scale": math.log(10), "init_logit_bias": -10}
    base = package(tmp_path / "base", init_logit_bias=-3.5)
    begun, _, _ = _created(open_clip.create_model_and_transforms, tmp_path, base, **named)
    assert begun.logit_bias.item() == -3.5
    assert begun.logit_scale.item() == pytest.approx(math.log(1 / 0.07))


def test_a_base_brings_its_own_activation_weights_and_texts(tmp_path: Path) -> None:
    base = package(tmp_path / "base", quick_gelu=True)
    begun, _, _ = _created(open_clip.create_model_and_transforms, tmp_path, base)
    assert any(isinstance(part, QuickGELU) for part in begun.modules())
    stored = load_file(tmp_path / "base/open_clip_model.safetensors")
    assert all(torch.equal(begun.state_dict()[name], value) for name, value in stored.items())
    assert open_clip.get_tokenizer(base).context_length == 77
