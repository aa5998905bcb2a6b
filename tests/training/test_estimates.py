"""What a run will take, reckoned before it starts, against what open_clip's networks really hold."""

import json
from dataclasses import replace

import open_clip
import pytest
import torch

from app.training.architectures import activations, config_of, config_path, has_blocks, needs_download, parameters
from app.training.estimates import PROCESS_BYTES, Rate, estimate
from app.training.policies import fitted
from app.training.settings import PRACTICE_ARCHITECTURE, TrainingSettings

SETTINGS = TrainingSettings(epochs=4, batch_size=128)
VIT_B_32 = 151_277_313  # as open_clip counts them


@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-B-32-quickgelu"])
def test_the_parameters_of_a_named_network_are_counted_from_its_config(name: str) -> None:
    config = config_of(name)
    assert config is not None
    assert parameters(config) == VIT_B_32


def test_parameters_and_what_a_pair_keeps_for_its_gradients_are_those_of_the_real_network() -> None:
    path = config_path(PRACTICE_ARCHITECTURE)
    assert path is not None
    config = json.loads(path.read_text())
    open_clip.add_model_config(path)
    network = open_clip.create_model(path.stem)
    assert parameters(config) == sum(one.numel() for one in network.parameters())
    reckoned = activations(config, 4)
    assert reckoned is not None
    assert reckoned == pytest.approx(kept_bytes(network, config) / 8, rel=0.25)


def kept_bytes(network: torch.nn.Module, config: dict[str, dict[str, int]]) -> int:
    """Bytes that a forward pass of 8 pairs saves for the backward pass, without the weights."""
    weights = {one.data_ptr() for one in network.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    side = config["vision_cfg"]["image_size"]
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        network(torch.rand(8, 3, side, side), torch.randint(0, 49_000, (8, config["text_cfg"]["context_length"])))
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("name", ["RN50", "ViT-B-16-SigLIP"])
def test_a_network_of_another_kind_is_said_to_be_unknown(name: str) -> None:
    config = config_of(name)
    assert config is not None
    assert (parameters(config), activations(config, 4)) == (None, None)
    found = estimate(SETTINGS, 10, config, 0, None)
    assert (found.steps, found.memory, found.disk, found.seconds) == (40, None, None, None)


def test_what_can_be_locked_by_parts_and_what_stands_on_a_hub_is_known_from_the_config() -> None:
    resnet, hub, plain = config_of("RN50"), config_of("xlm-roberta-base-ViT-B-32"), config_of("ViT-B-32")
    assert resnet
    assert hub
    assert plain
    assert [has_blocks(resnet), has_blocks(plain)] == [False, True]
    assert [needs_download(hub), needs_download(plain)] == [True, False]


@pytest.mark.parametrize(
    "name", ["", "nothing", "../settings", "../../etc/passwd", "x" * 300, "ViT-B-32\x00", "a/b.json"]
)
def test_a_name_that_is_no_network_has_no_config(name: str) -> None:
    assert config_of(name) is None


def test_time_follows_from_the_rate_of_an_earlier_run() -> None:
    rate = Rate(17, 160.0, "cpu")
    found = estimate(replace(SETTINGS, accumulate=2), 10, None, VIT_B_32, rate)
    assert found.seconds == 4 * 10 * 128 * 2 / 160
    assert found.rate == rate


def test_several_processes_share_the_pairs() -> None:
    found = estimate(SETTINGS, 10, None, VIT_B_32, Rate(17, 160.0, "cuda"), processes=4)
    assert found.seconds == 4 * 10 * 128 * 4 / 160


def test_memory_is_that_of_a_process_16_bytes_a_parameter_and_what_the_batch_keeps() -> None:
    config = config_of("ViT-B-32")
    assert config is not None
    whole = estimate(SETTINGS, 10, config, VIT_B_32, None).memory
    half = estimate(replace(SETTINGS, checkpoint_gradients=True), 10, config, VIT_B_32, None).memory
    assert whole is not None
    assert half is not None
    kept = activations(config, 4)
    assert kept is not None
    assert whole == PROCESS_BYTES + 16 * VIT_B_32 + 128 * kept
    assert half == PROCESS_BYTES + 16 * VIT_B_32 + 64 * kept


@pytest.mark.parametrize(
    ("precision", "device", "size"), [("auto", "cpu", 4), ("auto", "cuda", 2), ("fp32", "cuda", 4)]
)
def test_what_a_batch_keeps_is_halved_where_numbers_are_of_16_bits(precision: str, device: str, size: int) -> None:
    config = config_of("ViT-B-32")
    assert config is not None
    kept = activations(config, size)
    assert kept is not None
    found = estimate(replace(SETTINGS, precision=precision), 10, config, VIT_B_32, None, device=device)
    assert found.memory == PROCESS_BYTES + 16 * VIT_B_32 + 128 * kept


def test_what_is_kept_to_go_on_costs_two_checkpoints_more() -> None:
    best = estimate(SETTINGS, 10, None, VIT_B_32, None)
    both = estimate(replace(SETTINGS, keep="best_and_latest"), 10, None, VIT_B_32, None)
    assert best.disk_after == 4 * VIT_B_32
    assert both.disk_after == (4 + 2 * 12) * VIT_B_32
    assert best.disk == 4 * 12 * VIT_B_32


@pytest.mark.parametrize(
    ("pairs", "batch", "warmup"), [(40_000, 128, 100), (512, 128, 4), (300, 64, 4), (40, 8, 5), (3, 2, 1), (0, 2, 1)]
)
def test_a_recipe_is_fitted_to_few_pairs(pairs: int, batch: int, warmup: int) -> None:
    found = fitted(TrainingSettings(epochs=10), pairs)
    assert (found.batch_size, found.warmup_steps) == (batch, warmup)
