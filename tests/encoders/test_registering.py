"""Registering an encoder: what it is made of is stored; what is not the model that it should be is refused."""

import hashlib
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from sqlalchemy import func, select

from app.accounts.policies import SYSTEM
from app.db import transaction
from app.encoders import actions
from app.encoders.actions import NewEncoder
from app.encoders.policies import reaches_data
from app.errors import Invalid
from app.tables import Encoder, EncoderKind, Event, Job, JobState, Weights
from tests.encoders.models import TINY_CLIP, register, run, tiny_state
from workers import vectors

pytestmark = pytest.mark.usefixtures("models")


def refused(new: NewEncoder) -> Job:
    """The failed job of an encoder that only the worker can see through; nothing is registered."""
    with transaction() as session:
        job = actions.register(session, SYSTEM, new)
    done = run(job)
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Encoder)) == 0
    assert done.state is JobState.FAILED
    return done


def refused_at_once(new: NewEncoder) -> Invalid:
    with pytest.raises(Invalid) as caught, transaction() as session:
        actions.register(session, SYSTEM, new)
    return caught.value


def test_a_local_checkpoint_is_registered_with_all_that_makes_its_vectors(models: Path) -> None:
    made = register(NewEncoder(**{**TINY_CLIP.__dict__, "quick_gelu": True, "licence": "CC BY 4.0"}))
    assert (made.name, made.source, made.model) == ("tiny_clip/run-1", "open_clip", "tiny_clip.json")
    assert (made.pretrained, made.width, made.kind) == ("run-1.safetensors", 32, EncoderKind.IMAGE_TEXT)
    assert (made.weights, made.licence, made.quick_gelu, made.reaches_data) == (
        Weights.TRAINED,
        "CC BY 4.0",
        True,
        False,
    )
    assert made.checksum == hashlib.sha256((models / "run-1.safetensors").read_bytes()).hexdigest()
    assert vectors.load(made).quick_gelu


def test_a_pt_file_is_copied_as_safetensors_once_and_gives_the_same_vectors(models: Path) -> None:
    from tests.workers.ml.test_encoder import jpeg

    (models / "runs").mkdir()
    torch.save({"state_dict": {f"module.{k}": v for k, v in tiny_state(1).items()}}, models / "runs" / "epoch.pt")
    made = register(NewEncoder("open_clip", "tiny_clip.json", checkpoint="runs/epoch.pt"))
    copies = list((models / "runs").glob("*.safetensors"))
    assert [str(copy.relative_to(models)) for copy in copies] == [made.pretrained]
    assert [path.name for path in (models / "runs").iterdir() if path.name.startswith(".")] == []
    plain = register(TINY_CLIP)
    one, other = (vectors.load(encoder).embed_images([jpeg(1)]) for encoder in (made, plain))
    assert float(abs(one - other).max()) < 1e-6
    written = copies[0].stat().st_mtime_ns
    refused_again = actions.NewEncoder("open_clip", "tiny_clip.json", checkpoint="runs/epoch.pt", name="other")
    with transaction() as session:
        job = actions.register(session, SYSTEM, refused_again)
    assert "registered already, as tiny_clip/runs/epoch" in run(job).error
    assert copies[0].stat().st_mtime_ns == written


def test_the_packaged_network_and_random_weights_are_said_to_be_what_they_are() -> None:
    lite0 = register(NewEncoder("efficientnet-lite0"))
    assert (lite0.width, lite0.kind, lite0.weights, lite0.licence) == (
        1280,
        EncoderKind.IMAGE,
        Weights.TRAINED,
        "Apache-2.0",
    )
    drawn = register(NewEncoder("timm", "resnet10t"))
    assert (drawn.width, drawn.kind, drawn.weights, drawn.checksum) == (512, EncoderKind.IMAGE, Weights.RANDOM, "")


def test_the_worker_refuses_what_is_not_the_model_and_leaves_nothing(models: Path) -> None:
    state = tiny_state()
    state["visual.proj"][0, 0] = float("nan")
    save_file(state, models / "nan.safetensors")
    (models / "text.safetensors").write_bytes(b"no model")
    (models / "evil.pt").write_bytes(pickle.dumps({"state_dict": object}))
    before = set(models.iterdir())
    for name, said in (
        ("nan.safetensors", "not finite"),
        ("text.safetensors", "not a safe"),
        ("evil.pt", "evil.pt is"),
    ):
        job = refused(NewEncoder("open_clip", "tiny_clip.json", checkpoint=name))
        assert said in job.error
        assert job.error.endswith("Nothing was registered.")
    job = refused(NewEncoder("open_clip", "ViT-B-32", checkpoint="run-1.safetensors"))
    assert "does not hold this model" in job.error
    assert "has no model NoSuch" in refused(NewEncoder("open_clip", "NoSuch")).error
    assert set(models.iterdir()) == before


@pytest.mark.parametrize("name", ["../outside.safetensors", "link.safetensors", "folder.safetensors", "no.safetensors"])
def test_a_name_never_leads_out_of_the_models_folder(name: str, models: Path) -> None:
    outside = models.parent / "outside.safetensors"
    shutil.copy(models / "run-1.safetensors", outside)
    (models / "link.safetensors").symlink_to(outside)
    (models / "folder.safetensors").mkdir()
    for checkpoint in (name, str(models.parent / name)):
        error = refused_at_once(NewEncoder("open_clip", "tiny_clip.json", checkpoint=checkpoint))
        assert "There is no file" in error.fields["checkpoint"]


@pytest.mark.parametrize("name", ["x\0.safetensors", "a" * 5000 + ".pt", "run-1.pkl", "tiny_clip.json", "run-1"])
def test_other_names_are_refused_too(name: str) -> None:
    assert refused_at_once(NewEncoder("open_clip", "tiny_clip.json", checkpoint=name)).fields["checkpoint"]


@pytest.mark.parametrize("tag", ["/etc/passwd", "run-1.safetensors", "../x.pt", "a b", "x\0"])
def test_a_tag_is_no_path(tag: str) -> None:
    assert refused_at_once(NewEncoder("open_clip", "tiny_clip.json", pretrained=tag)).fields["pretrained"]


@pytest.mark.parametrize("model", ["tests/tiny_clip.json", "../tiny_clip.json", "/etc/x.json"])
def test_a_config_lies_in_the_models_folder_too(model: str) -> None:
    assert refused_at_once(NewEncoder("open_clip", model)).fields["model"]


def test_what_is_registered_under_a_name_keeps_it() -> None:
    register(TINY_CLIP)
    for new, said in (
        (TINY_CLIP, "registered already"),
        (NewEncoder("timm", "resnet10t", name="tiny_clip/run-1"), "named"),
    ):
        with transaction() as session:
            job = actions.register(session, SYSTEM, new)
        assert said in run(job).error


def test_a_file_that_has_other_bytes_than_were_registered_is_not_used(models: Path) -> None:
    from workers.ml.weights import BadWeights

    made = register(TINY_CLIP)
    vectors.loaded.cache_clear()
    shutil.copy(models / "run-2.safetensors", models / "run-1.safetensors")
    with pytest.raises(BadWeights, match="not the file that was registered"):
        vectors.load(made)


@pytest.mark.parametrize(
    ("licence", "name", "reaches"),
    [
        ("", "hf-hub:MahmoodLab/CONCH", True),
        ("", "conch_v1.safetensors", True),
        ("", "musk_large_patch16_384", True),
        ("CC BY-NC-ND 4.0", "x", True),
        ("cc-by-nc-nd-4.0", "x", True),
        ("CC BY-NC 4.0", "x", False),
        ("MIT", "muskrat", False),
    ],
)
def test_a_licence_that_reaches_the_data_is_known(licence: str, name: str, reaches: bool) -> None:
    assert reaches_data(licence, name) is reaches


def test_an_encoder_whose_licence_reaches_the_data_needs_a_confirmation_twice() -> None:
    conch = NewEncoder("open_clip", "tiny_clip.json", checkpoint="run-1.safetensors", licence="CC BY-NC-ND 4.0")
    assert "derivatives" in refused_at_once(conch).fields["confirmed"]
    made = register(conch, confirmed=True)
    assert made.reaches_data
    with pytest.raises(Invalid, match="derivatives"), transaction() as session:
        actions.use(session, SYSTEM, made.id)
    with transaction() as session:
        actions.use(session, SYSTEM, made.id, confirmed=True)
        acts = session.execute(select(Event.act, Event.details).where(Event.act.like("encoder.%"))).all()
    confirmed = [act for act, details in acts if details.get("confirmed")]
    assert confirmed == ["encoder.registration_asked", "encoder.use_asked"]
