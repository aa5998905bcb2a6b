"""Packages: the folder that plain open_clip loads gives our vectors; what is foreign, broken or hostile is refused."""

import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from app.accounts.policies import SYSTEM
from app.db import transaction
from app.encoders import actions, queries
from app.encoders.actions import NewEncoder
from app.errors import Conflict
from app.tables import Encoder, Job, JobState, Run, Weights
from tests.encoders.models import TINY_CLIP, again, register, run, tiny_state
from tests.encoders.test_registering import refused, refused_at_once
from tests.workers.ml.hugging_face_clip import drawn_state, write_folder
from tests.workers.ml.test_encoder import jpeg
from workers import packages, vectors
from workers.ml import clips, weights
from workers.ml.encoder import EncoderSpec, load_encoder
from workers.ml.weights import BadWeights

PICTURE, TEXTS = jpeg(3), ["an H&E image of skin", "腺癌 🔬", "word " * 200]


def by_plain_open_clip(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """What open_clip alone makes of a package, with nothing said but its folder."""
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    with torch.inference_mode():
        pixels = preprocess(Image.open(io.BytesIO(PICTURE)).convert("RGB"))[None]
        image = model.eval().encode_image(pixels, normalize=True)
        return image.numpy(), model.encode_text(tokenizer(TEXTS), normalize=True).numpy()


def assert_same_vectors(folder: Path, encoder: Encoder) -> None:
    network = vectors.load(encoder)
    image, texts = by_plain_open_clip(folder)
    np.testing.assert_allclose(image, network.embed_images([PICTURE]), atol=1e-5)
    np.testing.assert_allclose(texts, network.embed_texts(TEXTS), atol=1e-5)


def ensured(encoder: Encoder) -> tuple[Job, Encoder]:
    """The job that makes a package, done, and the row then."""
    with transaction() as session:
        job = actions.prepare(session, SYSTEM, encoder.id)
    done = run(job)
    with transaction() as session:
        return done, session.get_one(Encoder, encoder.id)


def trainer_checkpoint(path: Path, state: dict[str, Any]) -> Path:
    optimiser = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 1e-3}]}
    around = {"epoch": 3, "name": "run-7", "optimizer": optimiser, "scaler": {}}
    torch.save(around | {"state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
    return path


# --- what is made -------------------------------------------------------------------------------


def test_a_trainer_s_checkpoint_becomes_a_folder_that_plain_open_clip_loads(models: Path, tmp_path: Path) -> None:
    config = json.loads((models / "tiny_clip.json").read_text()) | {"quick_gelu": True}
    preprocess = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3], "interpolation": "bilinear"}
    base = models / "base"
    base.mkdir()
    (base / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    save_file(tiny_state(1), base / "open_clip_model.safetensors")
    checkpoint = trainer_checkpoint(tmp_path / "best.pt", tiny_state(9))
    package = packages.package_checkpoint(checkpoint, f"local-dir:{base}", "ip-clip v0007 run 19")
    assert (package.folder, package.path) == ("ip-clip-v0007-run-19", models / "ip-clip-v0007-run-19")
    assert sorted(path.name for path in package.path.iterdir()) == [
        "open_clip_config.json",
        "open_clip_model.safetensors",
    ]
    assert (package.width, package.quick_gelu, package.parameters) == (
        32,
        True,
        sum(v.numel() for v in tiny_state().values()),
    )
    assert package.size == sum(path.stat().st_size for path in package.path.iterdir())
    state = load_file(package.path / "open_clip_model.safetensors")
    assert all(torch.equal(state[name], value) for name, value in tiny_state(9).items())
    row = packages.encoder_of(package, "ip-clip v0007 run 19", licence="MIT", provenance={"run": 19})
    with transaction() as session:
        job = actions.register(session, SYSTEM, TINY_CLIP)
        added = actions.add(session, row, job.id, None)
    assert_same_vectors(package.path, added)
    trained = vectors.load(added).embed_images([PICTURE])
    as_base = load_encoder(EncoderSpec("open_clip", f"local-dir:{base}")).embed_images([PICTURE])
    assert float(abs(trained - as_base).max()) > 1e-3


def test_the_same_checkpoint_again_is_the_same_package_and_another_takes_another_name(
    models: Path, tmp_path: Path
) -> None:
    config = str(models / "tiny_clip.json")
    checkpoint = trainer_checkpoint(tmp_path / "best.pt", tiny_state(9))
    first = packages.package_checkpoint(checkpoint, config, "run 19")
    again = packages.package_checkpoint(checkpoint, config, "run 19")
    other = packages.package_checkpoint(trainer_checkpoint(tmp_path / "b.pt", tiny_state(8)), config, "Run 19")
    assert (first.folder, first.is_new, again.folder, again.is_new) == ("run-19", True, "run-19", False)
    assert (other.folder, again.sha256, again.files) == ("run-19-2", first.sha256, first.files)


def test_two_jobs_that_want_one_package_at_once_make_it_once(models: Path) -> None:
    clip = clips.make(EncoderSpec("open_clip", str(models / "tiny_clip.json"), str(models / "run-1.safetensors")))
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: packages.publish(clip, "shared"), range(4)))
    assert [package.folder for package in made] == ["shared"] * 4
    assert sorted(package.is_new for package in made) == [False, False, False, True]
    assert {package.sha256 for package in made} == {made[0].sha256}
    assert not list(models.glob("*.partial"))


def test_the_bias_that_a_sigmoid_loss_adds_is_kept(models: Path, tmp_path: Path) -> None:
    state = tiny_state(9) | {"logit_bias": torch.tensor(-10.0), "logit_scale": torch.tensor(2.5)}
    checkpoint = trainer_checkpoint(tmp_path / "best.pt", state)
    package = packages.package_checkpoint(checkpoint, str(models / "tiny_clip.json"), "siglip")
    model = open_clip.create_model(f"local-dir:{package.path}")
    assert (float(model.logit_bias.detach()), float(model.logit_scale.detach())) == (-10.0, 2.5)


def test_weights_of_a_tag_are_packed_with_its_activation_and_preprocessing(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As OpenAI's: the name `ViT-B-32` alone says nothing of QuickGELU, the tag does."""
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", json.loads((models / "tiny_clip.json").read_text()))
    tagged = {"quick_gelu": True, "mean": (0.5, 0.4, 0.3), "std": (0.3, 0.3, 0.3), "url": "https://example.org/x"}
    monkeypatch.setattr(weights, "pretrained_config", lambda model, pretrained: tagged)
    monkeypatch.setattr(weights, "weights_file", lambda pretrained, config: models / "run-1.safetensors")
    encoder = register(NewEncoder("open_clip", "tiny", pretrained="openai"))
    assert (encoder.quick_gelu, encoder.package, encoder.licence) == (True, "", "MIT")
    done, packed = ensured(encoder)
    assert (done.state, packed.package) == (JobState.SUCCEEDED, "tiny-openai")
    assert_same_vectors(models / "tiny-openai", encoder)
    assert ensured(packed)[1].provenance == packed.provenance


def test_a_registered_file_is_packed_once_and_its_row_says_where(models: Path) -> None:
    encoder = register(NewEncoder(**{**TINY_CLIP.__dict__, "quick_gelu": True}))
    assert encoder.parameters == sum(value.numel() for value in tiny_state().values())
    assert encoder.size == (models / "run-1.safetensors").stat().st_size
    assert (
        encoder.provenance["command"] == "ipath encoder add tiny_clip.json --checkpoint run-1.safetensors --quick-gelu"
    )
    assert set(encoder.provenance["versions"]) >= {"code", "open_clip", "torch"}
    done, packed = ensured(encoder)
    assert (done.state, packed.package, packed.model) == (JobState.SUCCEEDED, "tiny_clip-run-1", "tiny_clip.json")
    assert packed.size == sum(path.stat().st_size for path in (models / packed.package).iterdir())
    assert_same_vectors(models / packed.package, packed)


def test_random_weights_say_so_in_their_package_too(models: Path, tmp_path: Path) -> None:
    drawn = register(NewEncoder("open_clip", "tiny_clip.json"))
    _, packed = ensured(drawn)
    assert packed.weights is Weights.RANDOM
    moved = models / "from-elsewhere"
    shutil.copytree(models / packed.package, moved)
    found = register(NewEncoder("open_clip", "local-dir:from-elsewhere"))
    assert (found.weights, found.licence) == (Weights.RANDOM, "none")


def test_a_network_of_images_only_has_no_package(models: Path) -> None:
    lite0 = register(NewEncoder("efficientnet-lite0"))
    with pytest.raises(Conflict, match="reads images only"), transaction() as session:
        actions.prepare(session, SYSTEM, lite0.id)


# --- what is taken in ---------------------------------------------------------------------------


def test_a_folder_of_open_clip_is_used_where_it_lies(models: Path) -> None:
    _, packed = ensured(register(TINY_CLIP))
    shutil.copytree(models / packed.package, models / "shared" / "mine")
    made = register(NewEncoder("open_clip", "local-dir:shared/mine", licence="MIT"))
    assert (made.name, made.model, made.package) == ("shared/mine", "local-dir:shared/mine", "shared/mine")
    assert (made.weights, made.provenance["made_here"]) == (Weights.TRAINED, False)
    assert_same_vectors(models / "shared" / "mine", made)


def test_a_folder_in_the_layout_of_hugging_face_is_converted(models: Path) -> None:
    write_folder(models / "plip", drawn_state(), as_bin=True)
    made = register(NewEncoder("open_clip", "local-dir:plip", name="PLIP", licence="unknown"))
    assert (made.name, made.model, made.package) == ("PLIP", "local-dir:plip-2", "plip-2")
    assert (made.width, made.quick_gelu, made.provenance["made_here"]) == (24, True, True)
    assert_same_vectors(models / "plip-2", made)
    source = load_encoder(EncoderSpec("open_clip", f"local-dir:{models / 'plip'}"))
    np.testing.assert_allclose(source.embed_texts(TEXTS), vectors.load(made).embed_texts(TEXTS), atol=1e-6)
    with transaction() as session:
        job = actions.register(session, SYSTEM, NewEncoder("open_clip", "local-dir:plip", name="PLIP"))
    assert "registered already, as PLIP" in run(job).error
    assert (models / "plip-2").is_dir()


def test_what_could_not_be_registered_leaves_no_folder(models: Path) -> None:
    write_folder(models / "plip", drawn_state())
    register(NewEncoder(**{**TINY_CLIP.__dict__, "name": "taken"}))
    with transaction() as session:
        job = actions.register(session, SYSTEM, NewEncoder("open_clip", "local-dir:plip", name="taken"))
    assert "named taken" in run(job).error
    assert not [path for path in models.iterdir() if path.name.startswith("taken")]


@pytest.mark.parametrize(
    ("new", "field"),
    [
        (NewEncoder("open_clip", "local-dir:nowhere"), "model"),
        (NewEncoder("open_clip", "local-dir:.."), "model"),
        (NewEncoder("open_clip", "local-dir:."), "model"),
        (NewEncoder("open_clip", "local-dir:/etc"), "model"),
        (NewEncoder("open_clip", "local-dir:away"), "model"),
        (NewEncoder("open_clip", "local-dir:"), "model"),
        (NewEncoder("timm", "local-dir:base"), "model"),
        (NewEncoder("open_clip", "local-dir:base", pretrained="openai"), "pretrained"),
        (NewEncoder("open_clip", "local-dir:base", checkpoint="run-1.safetensors"), "checkpoint"),
        (NewEncoder("open_clip", "local-dir:base", quick_gelu=True), "quick_gelu"),
    ],
)
def test_a_folder_lies_in_the_models_folder_and_brings_all_that_it_needs(
    new: NewEncoder, field: str, models: Path
) -> None:
    (models / "base").mkdir()
    (models.parent / "outside").mkdir()
    (models / "away").symlink_to(models.parent / "outside")
    assert set(refused_at_once(new).fields) == {field}


# --- what is refused ----------------------------------------------------------------------------


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 50_000_000)


def _claims_by_stride(path: Path) -> None:
    torch.save({"state_dict": tiny_state() | {"visual.proj": torch.zeros(1).expand(10**7, 10**6)}}, path)


def _without_numbers(path: Path) -> None:
    torch.save({"state_dict": tiny_state() | {"visual.proj": torch.empty(10**6, 10**6, device="meta")}}, path)


def _absurd_header(path: Path) -> None:
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")


def _absurd_tensor(path: Path) -> None:
    size = 4 * 10**13
    header = json.dumps({"visual.proj": {"dtype": "F32", "shape": [10**13], "data_offsets": [0, size]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)


def _not_finite(path: Path) -> None:
    state = tiny_state()
    state["visual.proj"][1, 2] = float("inf")
    trainer_checkpoint(path, state)


class Runs:
    def __reduce__(self) -> Any:
        return (os.mkdir, ("/tmp/ipath-test-it-ran",))


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("x.pt", lambda path: trainer_checkpoint(path, tiny_state()) and _cut(path), "not a whole file"),
        ("x.pt", _bomb, "would unpack to 50,000,000 bytes"),
        ("x.pt", _claims_by_stride, "claims 40,0.* bytes of numbers, more than it has"),
        ("x.pt", _without_numbers, "plain numbers are needed"),
        ("x.pt", lambda path: torch.save({"state_dict": Runs()}, path), "can run code"),
        ("x.pt", lambda path: path.write_bytes(pickle.dumps(Runs())), "x.pt is"),
        ("x.pt", _not_finite, r"not finite, in visual\.proj"),
        ("x.pt", lambda path: trainer_checkpoint(path, drawn_state()), "does not hold this model"),
        ("x.safetensors", _absurd_header, "not a safetensors file"),
        ("x.safetensors", _absurd_tensor, "not a safetensors file"),
    ],
)
def test_a_broken_or_hostile_checkpoint_is_refused_with_what_is_wrong_and_leaves_nothing(
    name: str, write: Callable[[Path], Any], said: str, models: Path, tmp_path: Path
) -> None:
    write(tmp_path / name)
    before = set(models.rglob("*"))
    with pytest.raises(BadWeights, match=said):
        packages.package_checkpoint(tmp_path / name, str(models / "tiny_clip.json"), "x")
    assert set(models.rglob("*")) == before
    assert not Path("/tmp/ipath-test-it-ran").exists()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{", "not JSON"),
        ('{"embed_dim": 32}', "is not a model config"),
        ('{"embed_dim": 32, "vision_cfg": 3, "text_cfg": {}}', "are objects"),
        ('{"embed_dim": 99999999, "vision_cfg": {}, "text_cfg": {}}', "asks for embed_dim 99999999"),
        ('{"embed_dim": 32, "vision_cfg": {"layers": 1e9}, "text_cfg": {}}', "asks for layers"),
        ('{"embed_dim": 32, "vision_cfg": {"width": NaN}, "text_cfg": {}}', "asks for width"),
        (
            '{"embed_dim": 32, "vision_cfg": {"nonsense": 1}, "text_cfg": {}}',
            "open_clip can't make a model of ViT-B-32",
        ),
        (
            '{"embed_dim": 32, "vision_cfg": {"width": 16384, "head_width": 128, "layers": 256}, "text_cfg": {}}',
            "GB of memory is free",
        ),
        ('{"embed_dim": 32, "vision_cfg": {}, "text_cfg": {"hf_model_name": "x"}}', "with the library transformers"),
    ],
)
def test_a_broken_or_absurd_config_is_refused_and_spoils_nothing_for_the_next(
    config: str, said: str, models: Path
) -> None:
    (models / "ViT-B-32.json").write_text(config)
    job = refused(NewEncoder("open_clip", "ViT-B-32.json"))
    assert said in job.error
    assert job.error.endswith("Nothing was registered.")
    assert open_clip.get_model_config("ViT-B-32")["embed_dim"] == 512
    assert register(TINY_CLIP).width == 32


@pytest.mark.parametrize("name", ["open_clip_config.json", "open_clip_model.safetensors"])
def test_a_folder_whose_files_change_is_not_used(name: str, models: Path) -> None:
    _, packed = ensured(register(TINY_CLIP))
    shutil.copytree(models / packed.package, models / "mine")
    made = register(NewEncoder("open_clip", "local-dir:mine"))
    held = (models / "mine" / name).read_bytes()
    (models / "mine" / name).write_bytes(
        held.replace(b"0.4", b"0.5", 1) if name.endswith("json") else held[:-4] + b"\0\0\0\0"
    )
    vectors.loaded.cache_clear()
    with pytest.raises(BadWeights, match="not the file that was registered"):
        vectors.load(made)
    with transaction() as session:
        job = actions.prepare(session, SYSTEM, made.id)
    assert "not the file that was registered" in run(job).error
    shutil.rmtree(models / "mine")
    with pytest.raises(BadWeights, match="no folder mine"):
        vectors.load(made)


# --- deleting -----------------------------------------------------------------------------------


def delete(encoder: Encoder) -> Job:
    with transaction() as session:
        job = actions.remove(session, SYSTEM, encoder.id, str(encoder.id))
    return run(job)


def test_what_we_made_of_a_model_goes_with_it_and_what_people_put_there_stays(models: Path) -> None:
    write_folder(models / "plip", drawn_state())
    plip = register(NewEncoder("open_clip", "local-dir:plip"))
    _, tiny = ensured(register(TINY_CLIP))
    shutil.copytree(models / tiny.package, models / "mine")
    mine = register(NewEncoder("open_clip", "local-dir:mine"))
    for encoder in (plip, tiny, mine):
        assert delete(encoder).state is JobState.SUCCEEDED
    left = {path.name for path in models.iterdir()}
    assert left == {"plip", "mine", "tiny_clip.json", "run-1.safetensors", "run-2.safetensors"}


def test_a_folder_that_another_model_has_too_stays(models: Path) -> None:
    _, tiny = ensured(register(TINY_CLIP))
    other = register(NewEncoder("open_clip", f"local-dir:{tiny.package}", name="again"))
    delete(tiny)
    assert (models / tiny.package).is_dir()
    assert vectors.load(other).width == 32


def test_a_model_that_a_run_started_from_is_not_deleted(models: Path) -> None:
    base = register(TINY_CLIP)
    with transaction() as session:
        started = Run(base_id=base.id, recipe="ip-clip", settings={})
        session.add(started)
        session.flush()
        number = started.id
        assert queries.uses(session, base.id).runs == [number]
    with pytest.raises(Conflict, match=f"what run {number} started from"):
        delete(base)


def test_a_model_is_not_deleted_while_its_download_is_prepared(models: Path) -> None:
    encoder = register(TINY_CLIP)
    with transaction() as session:
        job = actions.prepare(session, SYSTEM, encoder.id)
        assert actions.prepare(session, SYSTEM, encoder.id).id == job.id
    with pytest.raises(Conflict, match="being prepared"):
        delete(encoder)
    run(job)
    assert again(job).state is JobState.SUCCEEDED
    assert delete(encoder).state is JobState.SUCCEEDED
    assert not (models / "tiny_clip-run-1").exists()


def test_a_config_says_all_that_another_needs_to_know(models: Path) -> None:
    clip = clips.make(EncoderSpec("open_clip", str(models / "tiny_clip.json"), str(models / "run-1.safetensors")))
    package = packages.publish(clip, "x")
    held = json.loads((package.path / "open_clip_config.json").read_text())
    assert held["model_cfg"]["quick_gelu"] is False
    assert held["model_cfg"]["text_cfg"]["context_length"] == 77
    assert set(held["preprocess_cfg"]) == {"mean", "std", "interpolation", "resize_mode", "fill_color"}
