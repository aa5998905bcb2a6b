"""Files of weights: what is no such model is refused with what is wrong, and nothing in a file is run."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from workers.ml.encoder import EncoderSpec, WeightsUnavailable, load_encoder
from workers.ml.weights import BadWeights, read_checkpoint, read_safetensors

TINY = Path(__file__).parents[2] / "tiny_clip.json"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    open_clip.add_model_config(TINY)
    torch.manual_seed(5)
    model = open_clip.create_model("tiny_clip", pretrained_text=False)
    return {name: value.clone().contiguous() for name, value in model.state_dict().items()}


def without(state: State, name: str) -> State:
    return {key: value for key, value in state.items() if key != name}


def test_what_a_trainer_wrote_is_read_whatever_stands_around_the_weights(state: State, tmp_path: Path) -> None:
    path = tmp_path / "epoch_1.pt"
    around = {"epoch": 1, "optimizer": {"state": {}}, "state_dict": {f"module.{k}": v for k, v in state.items()}}
    torch.save(around, path)
    read = read_checkpoint(path)
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], state[name]) for name in state)


class Runs:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("write", [torch.save, lambda held, path: path.write_bytes(pickle.dumps(held))])
def test_a_pickle_is_refused_and_does_not_run(write: Callable[[Any, Path], Any], tmp_path: Path) -> None:
    path, ran = tmp_path / "evil.pt", tmp_path / "ran"
    write({"state_dict": Runs(ran)}, path)
    with pytest.raises(BadWeights, match=r"evil\.pt is (a pickle|not a file of weights)"):
        read_checkpoint(path)
    assert not ran.exists()


@pytest.mark.parametrize("held", [{}, {"a": 1}, [1, 2], {"state_dict": {"a": "text"}}])
def test_a_file_without_weights_is_refused(held: Any, tmp_path: Path) -> None:
    torch.save(held, tmp_path / "x.pt")
    with pytest.raises(BadWeights, match="holds no weights"):
        read_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize("data", [b"", b"not a model", b"\xff" * 64, pickle.dumps({"a": 1})])
def test_what_is_no_safetensors_file_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(BadWeights, match="not a safetensors file"):
        read_safetensors(path)


def test_a_cut_off_file_is_refused(state: State, tmp_path: Path) -> None:
    for name, write in (("x.safetensors", save_file), ("x.pt", torch.save)):
        path = tmp_path / name
        write(state, path)
        path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(BadWeights, match=r"x\.(safetensors|pt) is not a"):
            load_encoder(EncoderSpec("open_clip", str(TINY), str(path)))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(state: State, value: float, tmp_path: Path) -> None:
    spoilt = state | {"visual.proj": state["visual.proj"].clone()}
    spoilt["visual.proj"][3, 4] = value
    save_file(spoilt, tmp_path / "x.safetensors")
    with pytest.raises(BadWeights, match=r"not finite, in visual\.proj"):
        load_encoder(EncoderSpec("open_clip", str(TINY), str(tmp_path / "x.safetensors")))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: without(state, "visual.proj"), r"missing: visual\.proj"),
        (lambda state: state | {"extra.weight": torch.zeros(2)}, r"unexpected: extra\.weight"),
        (
            lambda state: state | {"visual.proj": torch.zeros(64, 48), "text_projection": torch.zeros(64, 48)},
            "64 × 48 in the file and 64 × 32 in the model",
        ),
        (lambda _: {f"x{number}": torch.zeros(1) for number in range(9)}, "and 6 more"),
    ],
)
def test_the_weights_of_another_model_are_refused_by_name_and_shape(
    state: State, change: Callable[[State], State], said: str, tmp_path: Path
) -> None:
    save_file(change(state), tmp_path / "x.safetensors")
    with pytest.raises(BadWeights, match=said):
        load_encoder(EncoderSpec("open_clip", str(TINY), str(tmp_path / "x.safetensors")))


@pytest.mark.parametrize(
    "spec",
    [
        EncoderSpec("open_clip", "NoSuchModel"),
        EncoderSpec("open_clip", "local-dir:/tmp"),
        EncoderSpec("timm", "no_such_model"),
        EncoderSpec("timm", "local-dir:/tmp"),
    ],
)
def test_a_model_that_the_library_does_not_have_is_refused(spec: EncoderSpec) -> None:
    with pytest.raises(BadWeights, match="no model"):
        load_encoder(spec)


def test_a_config_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text('{"embed_dim": 32}')
    with pytest.raises(BadWeights, match="not a model config"):
        load_encoder(EncoderSpec("open_clip", str(tmp_path / "odd.json")))


def test_a_path_given_as_a_tag_is_not_passed_off_as_trained(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable):
        load_encoder(EncoderSpec("open_clip", str(TINY), str(tmp_path)))


def test_quick_gelu_changes_what_the_same_weights_say_and_is_told(state: State, tmp_path: Path) -> None:
    from tests.workers.ml.test_encoder import jpeg

    save_file(state, tmp_path / "x.safetensors")
    plain, quick = (
        load_encoder(EncoderSpec("open_clip", str(TINY), str(tmp_path / "x.safetensors"), quick_gelu=quick))
        for quick in (False, True)
    )
    assert (plain.quick_gelu, quick.quick_gelu) == (False, True)
    difference = plain.embed_images([jpeg(3)]) - quick.embed_images([jpeg(3)])
    assert float(abs(difference).max()) > 1e-4


def test_a_timm_network_is_read_from_a_file_with_or_without_its_classifier(tmp_path: Path) -> None:
    import timm

    from tests.workers.ml.test_encoder import jpeg

    torch.manual_seed(3)
    model = timm.create_model("resnet10t", pretrained=False)
    whole = {name: value.contiguous() for name, value in model.state_dict().items()}
    body = {name: value for name, value in whole.items() if not name.startswith("fc.")}
    made = []
    for name, held in (("whole", whole), ("body", body)):
        save_file(held, tmp_path / f"{name}.safetensors")
        made.append(load_encoder(EncoderSpec("timm", "resnet10t", str(tmp_path / f"{name}.safetensors"))))
    assert [(one.width, one.has_text, one.weights) for one in made] == [(512, False, "trained")] * 2
    one, other = (encoder.embed_images([jpeg(1)])[0] for encoder in made)
    assert float(one @ other) == pytest.approx(1, abs=1e-5)
