"""Every trap of open_clip_train is refused before it starts, or set right: one sentence and one test each."""

from argparse import Namespace
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from open_clip_train.data import get_wds_dataset

from app.training.checks import Facts, cautions, fitting_loaders, problems, steps_per_epoch
from app.training.settings import RECIPES, Recipe, TrainingSettings

GOOD = Facts(sizes=(797,) * 13 + (796,) * 38, val_pairs=500, name="v0007")
RULES = TrainingSettings()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_recipe_may_start_on_a_usual_snapshot(recipe: Recipe) -> None:
    assert problems(recipe.settings, GOOD) == {}


def test_fewer_pairs_than_one_batch_are_refused_and_the_fitting_batch_is_named() -> None:
    assert problems(replace(RULES, batch_size=128, warmup_steps=0), replace(GOOD, sizes=(20, 20))) == {
        "batch_size": "A step takes 128 pairs, more than the 40 there are. Set the batch to 40 or less."
    }


def test_gathered_steps_and_gpus_count_into_the_batch() -> None:
    rules = replace(RULES, batch_size=16, accumulate=2)
    assert "A step takes 64 pairs" in problems(rules, replace(GOOD, sizes=(20, 20), processes=2))["batch_size"]
    gathering = problems(replace(rules, batch_size=2, accumulate=64), replace(GOOD, sizes=(20, 20)))
    assert gathering["batch_size"].endswith("Gather fewer steps.")


def test_a_warm_up_that_never_ends_is_refused() -> None:
    found = problems(replace(RULES, epochs=1, warmup_steps=10_000), GOOD)
    assert found == {"warmup_steps": "The run has 318 steps, so this warm-up never ends. Set it to 31 or less."}
    assert "warmup_steps" in problems(replace(RULES, epochs=1, warmup_steps=318), GOOD)
    assert problems(replace(RULES, epochs=1, warmup_steps=317), GOOD) == {}


def test_more_loaders_than_shards_are_lowered_and_more_gpus_than_shards_refused() -> None:
    assert problems(replace(RULES, loaders=60), GOOD) == {}
    assert fitting_loaders(replace(RULES, loaders=60), GOOD.sizes, 1) == 51
    assert fitting_loaders(replace(RULES, loaders=8), (800,) * 5, 2) == 2
    assert fitting_loaders(replace(RULES, loaders=0), (800,) * 5, 2) == 0
    found = problems(RULES, replace(GOOD, sizes=(800,), processes=2))
    assert found["snapshot"].startswith("The training pairs lie in 1 shards, and each of 2 GPUs needs one.")


def test_loaders_are_lowered_until_the_shards_of_each_hold_a_batch() -> None:
    """webdataset drops what is left of a batch at every pass, so a loader that never has one would turn for ever."""
    rules = replace(RULES, batch_size=16, loaders=4, warmup_steps=0)
    assert fitting_loaders(rules, (12, 12, 12, 12), 1) == 2
    assert fitting_loaders(rules, (20, 20, 20, 20), 1) == 4
    assert fitting_loaders(rules, (30, 30, 30, 10), 1) == 3 - 1  # one of three may be given the least shard alone
    assert problems(rules, replace(GOOD, sizes=(12, 12, 12, 12))) == {}


def test_a_gpu_that_may_be_given_less_than_a_batch_is_refused_and_the_fitting_batch_is_named() -> None:
    rules = replace(RULES, batch_size=16, warmup_steps=0)
    found = problems(rules, replace(GOOD, sizes=(30, 5), processes=2))
    assert (
        found["batch_size"]
        == "A GPU's share of the shards may hold 5 pairs, less than a batch. Set the batch to 5 or less."
    )
    assert problems(replace(rules, batch_size=5), replace(GOOD, sizes=(30, 5), processes=2)) == {}


def test_a_snapshot_without_training_or_validation_pairs_is_refused() -> None:
    assert problems(RULES, replace(GOOD, sizes=()))["snapshot"].startswith("v0007 has no training pairs.")
    assert problems(RULES, replace(GOOD, val_pairs=0))["snapshot"].startswith("v0007 has no validation pairs")


def test_validation_pairs_among_which_a_search_finds_by_chance_are_warned_of() -> None:
    assert cautions(replace(GOOD, val_pairs=100)) == []
    (said,) = cautions(replace(GOOD, val_pairs=40))
    assert said.startswith("v0007 has 40 validation pairs: its R@10 is 25% by chance alone")


def test_pairs_that_were_withdrawn_since_the_freeze_are_counted_and_refused() -> None:
    assert problems(RULES, replace(GOOD, withdrawn=3))["snapshot"] == (
        "v0007 can't be trained on: 3 pairs of it were withdrawn since it was frozen. "
        "Freeze a new snapshot and train on that."
    )


def test_training_pairs_that_now_belong_with_held_out_ones_are_refused() -> None:
    found = problems(RULES, replace(GOOD, leaking=1))["snapshot"]
    assert found.startswith("v0007: 1 training pair belongs with held-out ones by now")


def test_empty_captions_and_undecodable_pictures_are_refused_by_name() -> None:
    keys = tuple(f"{number:012d}" for number in range(5))
    said = "000000000000, 000000000001, 000000000002 and 2 more"
    assert said in problems(RULES, replace(GOOD, empty_captions=keys))["snapshot"]
    assert said in problems(RULES, replace(GOOD, undecodable=keys))["snapshot"]


@pytest.mark.parametrize("folder", ["/home/a::b/shards", "/home/{x}/shards", "/home/x}/shards"])
def test_a_path_that_webdataset_reads_as_several_is_refused(folder: str) -> None:
    assert "reads ::, { and }" in problems(RULES, replace(GOOD, folder=folder))["snapshot"]


def test_a_model_that_open_clip_would_take_for_a_coca_is_refused() -> None:
    assert "loss of CoCa" in problems(RULES, replace(GOOD, model="local-dir:/home/Cocaine/models/x"))["base"]


def test_two_locked_towers_are_refused_unless_a_part_of_one_learns() -> None:
    both = replace(RULES, lock_image=True, lock_text=True)
    assert problems(both, GOOD) == {
        "lock_text": "Both towers are locked, so nothing would learn. Unlock one, or a part of one."
    }
    assert problems(replace(both, unlocked_text_layers=1), GOOD) == {}


def test_a_part_of_a_resnet_tower_can_not_be_unlocked() -> None:
    rules = replace(RULES, lock_image=True, unlocked_image_groups=1)
    assert problems(rules, replace(GOOD, has_plain_towers=False)) == {
        "unlocked_image_groups": "This image tower can be locked only as a whole. Set it to 0."
    }
    assert problems(rules, GOOD) == {}


def test_sixteen_bit_numbers_on_a_cpu_are_refused() -> None:
    rules = replace(RULES, precision="amp_bf16")
    assert "only imitates" in problems(rules, GOOD)["precision"]
    assert problems(rules, replace(GOOD, device="cuda")) == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("epochs", 100_000),
        ("batch_size", 1),
        ("batch_size", 10**9),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("learning_rate", 2.0),
        ("weight_decay", -0.1),
        ("warmup_steps", -1),
        ("schedule", "linear"),
        ("precision", "fp8"),
        ("accumulate", 0),
        ("beta1", 1.0),
        ("beta2", -0.1),
        ("epsilon", 0.0),
        ("clip_gradients", float("inf")),
        ("unlocked_image_groups", -1),
        ("unlocked_text_layers", -1),
        ("smallest_crop", 0.0),
        ("smallest_crop", 1.1),
        ("seed", -1),
        ("loaders", 1_000),
        ("patience", -1),
        ("best_by", "accuracy"),
        ("keep", "all"),
    ],
)
def test_a_value_that_no_trainer_takes_is_refused_at_its_field(field: str, value: object) -> None:
    assert list(problems(replace(RULES, **{field: value}), GOOD)) == [field]  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_steps_are_counted_as_the_trainer_counts_them(tmp_path: Path) -> None:
    for pairs, batch, loaders, shards in product((40, 41, 1_000), (7, 40), (0, 1, 3), (3, 8)):
        sizes = [pairs // shards + (number < pairs % shards) for number in range(shards)]
        rules = replace(RULES, batch_size=batch, loaders=loaders)
        args = Namespace(
            train_data=f"{tmp_path}/train-{{000000..{shards - 1:06d}}}.tar",
            train_num_samples=pairs,
            train_data_upsampling_factors=None,
            workers=fitting_loaders(rules, sizes, 1),
            batch_size=batch,
            world_size=1,
            seed=0,
        )
        theirs = get_wds_dataset(args, None, is_train=True, tokenizer=None).dataloader.num_batches
        assert steps_per_epoch(rules, sizes) == theirs, (pairs, batch, loaders, shards)
        assert steps_per_epoch(replace(rules, accumulate=2), sizes) == theirs // 2
