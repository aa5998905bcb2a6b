"""Jobs of encoders: register one; embed every image under it and and take it into use."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import structlog
from safetensors.torch import save

from app.config import settings
from app.db import transaction
from app.encoders import actions, policies, queries
from app.encoders.actions import NewEncoder
from app.encoders.policies import FOLDER, below, reaches_data
from app.errors import AppError, Conflict, Invalid
from app.jobs import RunningJob
from app.prefilter.queries import encoder as registered
from app.publish import publish_file
from app.tables import Encoder, Weights
from workers.indexes import ensure_index
from workers.ml.encoder import WeightsUnavailable
from workers.ml.weights import BadWeights, read_checkpoint
from workers.packages import Package, discard, encoder_of, imported
from workers.training_turns import wait_for_gpu
from workers.vectors import load, loaded, made_in_steps, reason, row_of, sha256_at, write

log = structlog.get_logger()

PAGE = 1_000
MAX_FAILED = 1_000
NONE_AT_ALL = 20  # so many at the start, all failed: what is left would fail too


def run_register(job: RunningJob) -> None:
    """Loads an encoder and writes its row. Raises Invalid with what is wrong with it, before anything uses it.

    Arguments: the fields of NewEncoder.
    """
    new = NewEncoder(**job.arguments)
    job.total = 1
    package: Package | None = None
    try:
        if new.model.startswith(FOLDER):
            package = imported(new.model.removeprefix(FOLDER), new.name)
            row = _row_of_folder(new, package)
        else:
            row = _row(new)
        row.provenance = row.provenance | {"command": policies.command(**asdict(new))}
        with job.step() as session:
            actions.add(session, row, job.id, job.requested_by)
            job.done = 1
    except (AppError, BadWeights, WeightsUnavailable) as error:
        if package:
            discard(package)
        if isinstance(error, AppError):
            raise
        raise Invalid(f"{str(error).rstrip('.')}.", "Nothing was registered.") from error


def _row_of_folder(new: NewEncoder, package: Package) -> Encoder:
    """Its vectors are tried on a picture, as every other's."""
    licence = new.licence or ("none" if package.weights is Weights.RANDOM else "unknown")
    row = encoder_of(package, new.name or new.model.removeprefix(FOLDER), licence=licence)
    row.reaches_data = row.reaches_data or reaches_data(new.licence, new.model)
    loaded.cache_clear()  # a file may have been put right under the same name
    load(row)
    return row


def _row(new: NewEncoder) -> Encoder:
    pretrained = safetensors_of(new.checkpoint) if new.checkpoint else new.pretrained
    model = new.model
    if model.endswith(".json") and below(settings().models_path, model) is None:
        raise Invalid(f"There is no file {model[:80]} in the models folder any more.")
    if new.source == "efficientnet-lite0":
        model, pretrained = "EfficientNet-Lite0", "imagenet"
    loaded.cache_clear()  # a file may have been put right under the same name
    network = loaded(new.source, model, pretrained, 0, new.quick_gelu)
    row = row_of(network, new.source, model, pretrained)
    if new.checkpoint:
        row.name = f"{Path(model).stem}/{Path(new.checkpoint).with_suffix('')}"
    row.name = new.name or row.name
    row.licence = new.licence or row.licence
    row.reaches_data = row.reaches_data or reaches_data(row.licence, new.checkpoint, row.name)
    return row


def safetensors_of(name: str) -> str:
    """The name of a checkpoint as safetensors: its own, or that of the copy that is written of a `.pt`.

    The copy carries the hash of what it was made from, so that another file of the same name makes another one.
    Raises BadWeights, Invalid when there is no such file below the models folder.
    """
    folder = settings().models_path
    path = below(folder, name)
    if path is None:
        raise Invalid(f"There is no file {name[:80]} in the models folder any more.")
    inside = path.relative_to(folder)
    if path.suffix == ".safetensors":
        return str(inside)
    made = inside.with_name(f"{path.stem}-{sha256_at(path)[:8]}.safetensors")
    if below(folder, str(made)) is None:
        state = read_checkpoint(path)
        with publish_file(folder / made) as draft:
            draft.file.write(save(state))
    return str(made)


# --- taking into use ----------------------------------------------------------------------------


def run_switch(job: RunningJob) -> None:
    """Embeds every image that lacks a vector, builds the index, and takes the encoder into use once none lacks one.

    A worker that dies loses the step at hand. Arguments: encoder.
    """
    with transaction() as session:
        encoder = registered(session, job.arguments["encoder"])
    if "failed" not in job.cursor:
        with transaction() as session:
            job.done, job.total = 0, queries.count_without_vector(session, encoder.id)
        job.cursor = {"failed": {}}
    while True:
        embed_missing(job, encoder)
        ensure_index(job, encoder)
        if _taken(job, encoder):
            return


def embed_missing(job: RunningJob, encoder: Encoder) -> None:
    """Until no image lacks a vector but those that can't be embedded, which `job.cursor["failed"]` names with why."""
    wait_for_gpu(job)
    network = load(encoder)
    while True:
        before = job.done
        for some in made_in_steps(network, _lacking(job, encoder)):
            for image_id, error in some.failed.items():
                log.warning("image_not_embedded", image=image_id, error=type(error).__name__)
                job.cursor["failed"][str(image_id)] = reason(error)
            with job.step() as session:
                write(session, encoder, some.vectors)
                job.done += len(some.vectors) + len(some.failed)
                job.total = max(job.total or 0, job.done)
            _refuse_too_many(job)
            wait_for_gpu(job)
        if job.done == before:
            return


def _lacking(job: RunningJob, encoder: Encoder) -> Iterator[tuple[int, str]]:
    after = 0
    failed = [int(image_id) for image_id in job.cursor["failed"]]
    while True:
        with transaction() as session:
            some = queries.without_vector(session, encoder.id, after, PAGE, failed)
        yield from some
        if len(some) < PAGE:
            return
        after = some[-1][0]


def _refuse_too_many(job: RunningJob) -> None:
    """A model that fails on everything, or a lost blob store, is not a few bad pictures."""
    failed = len(job.cursor["failed"])
    if failed > MAX_FAILED or (failed == job.done and failed >= NONE_AT_ALL):
        _give_up(job)


def _give_up(job: RunningJob) -> None:
    """Ends the job; one that tries it again begins with what failed."""
    failed, done = job.cursor["failed"], job.done
    job.cursor = {}
    with job.step():
        pass
    why = next(iter(failed.values()))
    raise Conflict(f"{len(failed)} of {done} images could not be embedded: {why}.", "The encoder was not changed.")


def _taken(job: RunningJob, encoder: Encoder) -> bool:
    failed = [int(image_id) for image_id in job.cursor["failed"]]
    if failed and len(failed) == job.done:
        _give_up(job)
    with job.step() as session:
        taken = actions.take_into_use(session, encoder, failed, job.requested_by)
        job.message = f"{len(failed)} could not be embedded" if failed else ""
    return taken
