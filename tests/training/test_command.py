"""The trainer's command, read by the installed parsers of open_clip_train and torchrun."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from open_clip_train.params import parse_args
from torch.distributed.run import get_args_parser

from app.training.command import Data, Start, arguments, precision, snapshot_data, start_of
from app.training.settings import RECIPES, Recipe, TrainingSettings
from tests.training.shards import TINY, write_shards
from workers.ml.trainer import _parsed

RUN = Path("/home/runs/19")
DATA = Data("/s/train-{000000..000015}.tar", "/s/val-{000000..000000}.tar", (2_538,) * 15 + (2_539,), 500)


def parsed(settings: TrainingSettings, data: Data = DATA, **named: Any) -> tuple[Namespace, Namespace]:
    """Our launcher's flags and open_clip_train's, as each reads them."""
    words = arguments(settings, named.pop("start", TINY), data, RUN, **named)
    own, flags = _parsed(words[words.index("workers.ml.trainer") + 1 :])
    return own, parse_args(flags)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_recipe_is_a_command_that_the_installed_trainer_reads(recipe: Recipe) -> None:
    settings = recipe.settings
    own, args = parsed(settings)
    assert (own.best_by, own.patience) == (settings.best_by, settings.patience)
    assert (args.epochs, args.batch_size, args.lr) == (settings.epochs, settings.batch_size, settings.learning_rate)
    assert (args.wd, args.warmup, args.lr_scheduler) == (
        settings.weight_decay,
        settings.warmup_steps,
        settings.schedule,
    )
    assert (args.beta1, args.beta2, args.eps) == (settings.beta1, settings.beta2, settings.epsilon)
    assert (args.seed, args.siglip, args.lock_image) == (settings.seed, settings.siglip, settings.lock_image)


def test_every_setting_reaches_the_trainer() -> None:
    unusual = TrainingSettings(
        schedule="const",
        accumulate=4,
        clip_gradients=0.5,
        checkpoint_gradients=True,
        lock_image=True,
        unlocked_image_groups=2,
        lock_text=True,
        unlocked_text_layers=3,
        siglip=True,
        seed=5,
        loaders=3,
        smallest_crop=0.4,
    )
    _, args = parsed(unusual)
    assert (args.lr_scheduler, args.accum_freq, args.grad_clip_norm) == ("const", 4, 0.5)
    assert args.grad_checkpointing
    assert (args.lock_image, args.lock_image_unlocked_groups) == (True, 2)
    assert (args.lock_text, args.lock_text_unlocked_layers) == (True, 3)
    assert args.lock_text_freeze_layer_norm  # open_clip refuses to lock the text tower without
    assert (args.siglip, args.seed, args.workers) == (True, 5, 3)
    assert args.aug_cfg == {"scale": (0.4, 1.0)}


def test_what_protects_a_run_is_always_said() -> None:
    _, args = parsed(TrainingSettings())
    assert (args.resume, args.save_most_recent, args.save_frequency) == ("latest", True, 0)
    assert (args.dataset_type, args.train_num_samples, args.val_num_samples) == ("webdataset", 40_609, 500)
    assert (args.report_to, args.log_every_n_steps) == ("tensorboard", 1)
    assert (args.logs, args.name) == ("/home/runs", "19")
    assert args.pretrained == ""
    assert not args.force_quick_gelu


def test_no_crops_also_means_no_other_shapes() -> None:
    _, args = parsed(TrainingSettings(smallest_crop=1))
    assert args.aug_cfg == {"scale": (1, 1.0), "ratio": (1.0, 1.0)}


def test_precision_is_that_of_the_device_unless_chosen() -> None:
    settings = TrainingSettings()
    assert parsed(settings, device="cpu")[1].precision == "fp32"
    assert parsed(settings, device="cuda")[1].precision == "amp_bf16"
    assert precision(replace(settings, precision="amp"), "cuda") == "amp"


def test_loaders_are_lowered_to_the_shards_that_each_process_has() -> None:
    few = replace(DATA, sizes=(800,) * 3)
    assert parsed(TrainingSettings(loaders=8), few)[1].workers == 3
    assert parsed(TrainingSettings(loaders=8), few, processes=2)[1].workers == 1


def test_several_gpus_train_under_torchrun_which_reads_where_its_own_flags_end() -> None:
    words = arguments(TrainingSettings(), TINY, DATA, RUN, device="cuda", processes=4)
    assert words[:2] == ["-m", "torch.distributed.run"]
    torchrun = get_args_parser().parse_args(words[2:])
    assert (torchrun.nproc_per_node, torchrun.standalone, torchrun.module) == ("4", True, True)
    assert torchrun.training_script == "workers.ml.trainer"
    own, flags = _parsed(torchrun.training_script_args)
    args = parse_args(flags)
    assert (args.name, args.local_loss, args.gather_with_grad, own.best_by) == ("19", True, True, "recall")


def test_an_architecture_of_open_clip_goes_by_its_name_and_one_of_ours_by_its_config() -> None:
    assert start_of(None, "ViT-B-32") == Start("ViT-B-32")
    practice = start_of(None, "practice_clip.json")
    assert practice.model == "practice_clip"
    assert practice.config is not None
    assert parsed(TrainingSettings(), start=practice)[0].config == str(practice.config)


def test_patterns_name_the_very_shards_of_a_snapshot(tmp_path: Path) -> None:
    from webdataset.shardlists import expand_urls

    from app.tables import Snapshot

    made = Snapshot(
        number=7,
        report={"counts": {"train": 48, "val": 16, "test": 0}},
        setting={"shards": {"train": 4, "val": 1}},
    )
    data = snapshot_data(made)
    write_shards(tmp_path)
    wanted = sorted(path.name for path in tmp_path.glob("train-*.tar"))
    assert [Path(url).name for url in expand_urls(data.train)] == wanted
    assert [Path(url).name for url in expand_urls(data.val)] == ["val-000000.tar"]
    assert Path(data.train).parent.parts[-2:] == ("v0007", "shards")
    assert data.sizes == (12, 12, 12, 12)  # its files are not there to say
    without = Snapshot(number=8, report={"counts": {"train": 48, "val": 0}}, setting={"shards": {"train": 4}})
    assert snapshot_data(without).val == ""
