"""Packages of registered models: the folders below the models folder that plain open_clip loads as `local-dir:`."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from app import jobs
from app.config import settings
from app.db import transaction
from app.encoders.policies import FOLDER, reaches_data
from app.errors import Conflict
from app.jobs import RunningJob
from app.prefilter.queries import encoder as registered
from app.publish import FileEntry, publish_folder, sha256_of
from app.tables import Encoder, EncoderKind, Weights
from workers.ml import clips, packages
from workers.ml.clips import CONFIG, WEIGHTS, Clip
from workers.ml.weights import BadWeights, WeightsUnavailable
from workers.vectors import model_folder, refuse_changed, sha256_at, spec_of, versions


@dataclass(frozen=True)
class Package:
    """A folder that plain open_clip loads. `folder` is its name below the models folder, `sha256` that of its weights.

    `made_here` where it was written by this product and not by a person; `is_new` where that was just now.
    """

    folder: str
    path: Path
    files: list[FileEntry]
    weights: Weights
    parameters: int
    width: int
    quick_gelu: bool
    made_here: bool = True
    is_new: bool = False

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.files)

    @property
    def sha256(self) -> str:
        return next(entry.sha256 for entry in self.files if entry.path == WEIGHTS)

    @property
    def listed(self) -> dict[str, dict[str, Any]]:
        """Path → size and SHA-256, as a row's provenance keeps them."""
        return {entry.path: {"size": entry.size, "sha256": entry.sha256} for entry in self.files}


def package_checkpoint(checkpoint: Path, model: str, name: str) -> Package:
    """Makes a package of a trainer's .pt or a .safetensors. Raises BadWeights when it does not hold exactly the model.

    `model` is a name of open_clip, the path of a config (.json), or `local-dir:` and the base's folder. The package's
    folder has the form of `name`; one that holds the same already is taken as it is.
    """
    return publish(clips.from_checkpoint(checkpoint, model), name)


def publish(clip: Clip, name: str) -> Package:
    """A CLIP as a package of that name, or of the next that is free."""
    with _one_at_a_time(settings().models_path):
        for folder in _names(packages.folder_name(name)):
            path = settings().models_path / folder
            if packages.holds(path, clip):
                return _found(clip, folder, made_here=True)
            if not path.exists():
                return _written(clip, path)
    raise AssertionError("there is always another name")


def _written(clip: Clip, path: Path) -> Package:
    with publish_folder(path) as draft:
        with draft.file(CONFIG) as file:
            file.write(packages.config_file(clip))
        with draft.file(WEIGHTS) as file:
            packages.write_weights(clip, file)
    return Package(path.name, path, draft.entries, *_facts(clip), is_new=True)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Two jobs that want one package would write into each other's draft; the second finds the first's whole."""
    folder.mkdir(parents=True, exist_ok=True)
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _found(clip: Clip, folder: str, *, made_here: bool) -> Package:
    path = model_folder(folder)
    entries = []
    for name in packages.FILES:
        with (path / name).open("rb") as file:
            entries.append(FileEntry(name, (path / name).stat().st_size, sha256_of(file)))
    return Package(folder, path, entries, *_facts(clip), made_here=made_here)


def imported(folder: str, name: str) -> Package:
    """The package of a folder that someone put below the models folder; one in another layout is converted.

    Raises BadWeights.
    """
    path = model_folder(folder)
    clip = clips.from_folder(path)
    if packages.is_package(path):
        return _found(clip, folder, made_here=False)
    return publish(clip, name or f"{path.name} open_clip")


def discard(package: Package) -> None:
    """Deletes a package that this job made and could not register."""
    if package.is_new:
        shutil.rmtree(package.path, ignore_errors=True)


def encoder_of(
    package: Package, name: str, *, licence: str, reaches: bool = False, provenance: dict[str, Any] | None = None
) -> Encoder:
    """A package as a row to register."""
    return Encoder(
        name=name,
        source="open_clip",
        model=f"{FOLDER}{package.folder}",
        pretrained="",
        seed=0,
        width=package.width,
        kind=EncoderKind.IMAGE_TEXT,
        weights=package.weights,
        licence=licence,
        reaches_data=reaches or reaches_data(licence, package.folder, name),
        quick_gelu=package.quick_gelu,
        checksum=package.sha256,
        parameters=package.parameters,
        package=package.folder,
        size=package.size,
        provenance={"versions": versions()} | (provenance or {}) | _made(package),
    )


def _made(package: Package) -> dict[str, Any]:
    return {"files": package.listed, "made_here": package.made_here}


def _facts(clip: Clip) -> tuple[Weights, int, int, bool]:
    return Weights(clip.weights), clips.parameters(clip.model), int(clip.config["embed_dim"]), clip.quick_gelu


def _names(first: str) -> Iterator[str]:
    yield first
    yield from (f"{first}-{number}" for number in count(2))


# --- packages of what is registered -------------------------------------------------------------


def ensure_package(job: RunningJob, encoder: Encoder) -> Path:
    """The folder of a registered CLIP, made now where there is none; its row then names it.

    Raises Conflict for a network that reads pictures only, and when weights or folder are not those of the row.
    """
    if encoder.kind is EncoderKind.IMAGE:
        raise Conflict(f"{encoder.name} reads pictures only; open_clip has no such model.", "Choose a CLIP.")
    try:
        if encoder.package and (settings().models_path / encoder.package).is_dir():
            folder = model_folder(encoder.package)
            refuse_changed(folder, encoder.provenance.get("files", {}))
            return folder
        if encoder.model.startswith(FOLDER):
            raise BadWeights(f"The folder {encoder.package} is not in the models folder any more.")
        package = publish(_clip_of(encoder), encoder.name)
    except (BadWeights, WeightsUnavailable) as error:
        raise Conflict(str(error), f"{encoder.name} can't be used until its files are as they were.") from error
    with job.step() as session:
        row = session.get_one(Encoder, encoder.id, with_for_update=True)
        row.package, row.size, row.parameters = package.folder, package.size, package.parameters
        row.provenance = row.provenance | _made(package)
        jobs.record(session, "encoder.packaged", "encoder", row.name, user_id=job.requested_by, job_id=job.id)
    return package.path


def _clip_of(encoder: Encoder) -> Clip:
    pretrained = encoder.pretrained if encoder.weights is Weights.TRAINED else ""
    clip = clips.make(spec_of(encoder.source, encoder.model, pretrained, encoder.seed, encoder.quick_gelu))
    if encoder.checksum and clip.file and sha256_at(clip.file) != encoder.checksum:
        raise BadWeights(f"The weights of {encoder.name} are not the file that was registered.")
    return clip


def run_package(job: RunningJob) -> None:
    """Makes the package that a download sends. Arguments: encoder."""
    with transaction() as session:
        encoder = registered(session, job.arguments["encoder"])
    ensure_package(job, encoder)
