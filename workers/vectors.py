"""Vectors of pictures under a registered encoder: stored once, computed when missing."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.config import settings
from app.db import transaction
from app.encoders.policies import FOLDER, below, folder_below, reaches_data
from app.jobs import RunningJob
from app.prefilter import queries
from app.publish import sha256_of
from app.storage import blobs
from app.tables import Embedding, Encoder, EncoderKind, Weights
from workers.source import code_version

if TYPE_CHECKING:
    from workers.ml.encoder import Encoder as LoadedEncoder
    from workers.ml.encoder import EncoderSpec

log = structlog.get_logger()

WEIGHTS = "open_clip_model.safetensors"
STEP_ROWS = 256
STEP_SECONDS = 5.0

Vectors = NDArray[np.float32]


@lru_cache(maxsize=4)
def loaded(
    source: str, model: str, pretrained: str, seed: int, quick_gelu: bool = False, checksum: str = ""
) -> "LoadedEncoder":
    """The network behind an encoder row, loaded once a process. Raises WeightsUnavailable, BadWeights.

    A model config and a checkpoint are named as they lie below the models folder. With a `checksum`, a file that
    has other bytes now is refused: its vectors would be mixed with those of another model.
    """
    from workers.ml.encoder import load_encoder
    from workers.ml.weights import BadWeights

    network = load_encoder(spec_of(source, model, pretrained, seed, quick_gelu))
    if checksum and checksum_of(network) != checksum:
        raise BadWeights(f"The weights of {network.name} are not the file that was registered.")
    return network


def spec_of(source: str, model: str, pretrained: str, seed: int = 0, quick_gelu: bool = False) -> "EncoderSpec":
    from workers.ml.encoder import EncoderSpec

    return EncoderSpec(source, _path(model), _path(pretrained) or None, seed, quick_gelu)  # type: ignore[arg-type]


def _path(name: str) -> str:
    """Where a file or a folder of that name lies below the models folder; else the name as it is."""
    if name.startswith(FOLDER):
        return f"{FOLDER}{model_folder(name.removeprefix(FOLDER))}"
    found = below(settings().models_path, name) if name.endswith((".json", ".safetensors")) else None
    return str(found) if found else name


def model_folder(name: str) -> Path:
    """A folder below the models folder. Raises BadWeights."""
    from workers.ml.weights import BadWeights

    found = folder_below(settings().models_path, name)
    if found is None:
        raise BadWeights(f"There is no folder {name[:80]} in the models folder.")
    return found


def checksum_of(network: "LoadedEncoder") -> str:
    """SHA-256 of the file that the weights were read from, "" where that is not known."""
    return sha256_at(network.file) if network.file else ""


def sha256_at(path: str | Path) -> str:
    with Path(path).open("rb") as file:
        return sha256_of(file)


def load(encoder: Encoder) -> "LoadedEncoder":
    """The network of a row. Raises WeightsUnavailable, BadWeights when it is not the one that was registered."""
    from workers.ml.weights import BadWeights

    if encoder.model.startswith(FOLDER):
        refuse_changed(model_folder(encoder.package), encoder.provenance.get("files", {}), but=WEIGHTS)
    pretrained = encoder.pretrained if encoder.weights is Weights.TRAINED else ""
    network = loaded(encoder.source, encoder.model, pretrained, encoder.seed, encoder.quick_gelu, encoder.checksum)
    if network.width != encoder.width:
        raise BadWeights(
            f"{encoder.name} gives vectors of {network.width} numbers now, not {encoder.width} as it was registered; "
            "register it as another model."
        )
    return network


def refuse_changed(folder: Path, files: Mapping[str, Mapping[str, Any]], but: str = "") -> None:
    """Raises BadWeights when a file of a model's folder has other bytes now; of `but`, only its size is looked at."""
    from workers.ml.weights import BadWeights

    for name, entry in files.items():
        path = below(folder, name)
        is_same = path is not None and path.stat().st_size == entry["size"]
        if path is None or not is_same or (name != but and sha256_at(path) != entry["sha256"]):
            raise BadWeights(f"{name} in the folder {folder.name} is not the file that was registered.")


# --- making and storing vectors -----------------------------------------------------------------


@dataclass
class Made:
    """Some images' vectors (float32 [width]), and why others have none, by image id."""

    vectors: dict[int, Vectors] = field(default_factory=dict)
    failed: dict[int, Exception] = field(default_factory=dict)


def made_in_steps(network: "LoadedEncoder", images: Iterable[tuple[int, str]]) -> Iterator[Made]:
    """Vectors of (image id, sha256) pairs as they come, at most 256 pictures or 5 s of work together."""
    some, since = Made(), time.monotonic()
    pictures = ((image_id, partial(blobs().get, sha256)) for image_id, sha256 in images)
    for image_id, vector in network.embed_each(pictures):
        if isinstance(vector, Exception):
            some.failed[image_id] = vector
        else:
            some.vectors[image_id] = vector
        if len(some.vectors) + len(some.failed) >= STEP_ROWS or time.monotonic() - since >= STEP_SECONDS:
            yield some
            some, since = Made(), time.monotonic()
    if some.vectors or some.failed:
        yield some


def write(session: Session, encoder: Encoder, vectors: dict[int, Vectors]) -> None:
    """Stores vectors; one that is there stays. In the order of their images, so that two writers never deadlock."""
    rows = [{"image_id": id_, "encoder_id": encoder.id, "vec": vectors[id_]} for id_ in sorted(vectors)]
    if rows:
        session.execute(insert(Embedding).on_conflict_do_nothing(), rows)


def embed(job: RunningJob, encoder: Encoder, images: Sequence[tuple[int, str]]) -> Made:
    """The vectors of (image id, sha256) pairs; missing ones are computed and stored in steps."""
    found = Made()
    with transaction() as session:
        found.vectors |= queries.vectors(session, encoder.id, [image_id for image_id, _ in images])
    missing = [one for one in dict.fromkeys(images) if one[0] not in found.vectors]
    if missing:
        for some in made_in_steps(load(encoder), missing):
            with job.step() as session:
                write(session, encoder, some.vectors)
            found.vectors |= some.vectors
            found.failed |= some.failed
    return found


def vectors_of(job: RunningJob, encoder: Encoder, images: Sequence[tuple[int, str]]) -> Vectors:
    """Float32 [n, width] of (image id, sha256) pairs; missing ones are computed and stored in steps.

    Raises FileNotFoundError for a lost blob, OSError for one that can't be decoded, once the others are stored.
    """
    found = embed(job, encoder, images)
    for error in found.failed.values():
        raise error
    if not images:
        return np.empty((0, encoder.width), np.float32)
    return np.stack([np.asarray(found.vectors[image_id], dtype=np.float32) for image_id, _ in images])


def reason(error: Exception) -> str:
    """Why an image has no vector, in words of ours."""
    from workers.ml.encoder import NotFinite

    if isinstance(error, FileNotFoundError):
        return "its picture is not in the store"
    if isinstance(error, OSError):
        return "its picture can't be read"
    return str(error) if isinstance(error, NotFinite) else type(error).__name__


# --- the encoders that register themselves ------------------------------------------------------


def register_clip(job: RunningJob) -> Encoder:
    """The CLIP that the settings name, registered; with random weights, marked as such, where its own can't be had."""
    from workers.ml.encoder import WeightsUnavailable

    model, pretrained = settings().clip_model, settings().clip_pretrained
    with transaction() as session:
        known = queries.encoder_by_spec(session, "open_clip", model, pretrained)
        if known:
            return known
    try:
        network = loaded("open_clip", model, pretrained, 0)
    except WeightsUnavailable as error:
        log.warning("clip_weights_unavailable", model=model, pretrained=pretrained, error=str(error)[:200])
        network = loaded("open_clip", model, "", 0)
    with job.step() as session:
        return _register(session, row_of(network, "open_clip", model, pretrained))


def register_efficientnet(job: RunningJob) -> Encoder:
    """The image-only encoder whose weights ship in a package: ImageNet features."""
    source, model = "efficientnet-lite0", "EfficientNet-Lite0"
    with transaction() as session:
        known = queries.encoder_by_spec(session, source, model, "imagenet")
        if known:
            return known
    network = loaded(source, model, "imagenet", 0)
    with job.step() as session:
        return _register(session, row_of(network, source, model, "imagenet"))


def row_of(network: "LoadedEncoder", source: str, model: str, pretrained: str) -> Encoder:
    """A loaded network as a row to register. Random weights are nobody's: they keep no tag's place."""
    trained = network.weights == "trained"
    return Encoder(
        name=network.name,
        source=source,
        model=model,
        pretrained=pretrained if trained else "",
        seed=0,
        width=network.width,
        kind=EncoderKind.IMAGE_TEXT if network.has_text else EncoderKind.IMAGE,
        weights=Weights.TRAINED if trained else Weights.RANDOM,
        licence=network.licence,
        reaches_data=reaches_data(network.licence, model, pretrained, network.name),
        quick_gelu=network.quick_gelu,
        checksum=checksum_of(network),
        parameters=network.parameters,
        package="",
        size=Path(network.file).stat().st_size if network.file else 0,
        provenance={"versions": versions()},
    )


def versions() -> dict[str, str]:
    """The code and the libraries that decide what vectors a model gives."""
    packages = {"open_clip": "open_clip_torch", "timm": "timm", "torch": "torch"}
    libraries = {name: version(package) for name, package in packages.items()}
    return {"code": code_version(), **libraries, "python": python_version()}


def _register(session: Session, row: Encoder) -> Encoder:
    """The row, or the one of the same encoder that another worker wrote meanwhile."""
    names = [column.name for column in Encoder.__table__.columns if column.name not in ("id", "created_at")]
    columns = {name: getattr(row, name) for name in names}
    session.execute(insert(Encoder).values(columns).on_conflict_do_nothing())
    found = queries.encoder_by_spec(session, row.source, row.model, row.pretrained)
    if found is None:
        raise LookupError(f"encoder {row.name} was not registered")
    return found
