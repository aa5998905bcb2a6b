"""What admins do with encoders: register one, take it into use, delete it. A worker's job does the work.

Registering and taking into use load the network, so they are the worker's; what can be refused without it is
refused here at once.
"""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import Actor
from app.advisory import USE_ENCODER
from app.config import settings
from app.encoders import queries
from app.encoders.policies import (
    CHECKPOINTS,
    FOLDER,
    INDEX_FROM,
    INDEXABLE_WIDTH,
    REACH,
    below,
    folder_below,
    no_download,
    reaches_data,
)
from app.errors import Conflict, Invalid
from app.prefilter import actions as prefilter
from app.prefilter import queries as stage_queries
from app.prefilter import stages
from app.tables import Embedding, Encoder, Job, Stage, Tally, Weights, WorkQueue

SOURCES = {
    "open_clip": "CLIP (images and texts)",
    "timm": "Network of timm (images only)",
    "efficientnet-lite0": "EfficientNet-Lite0 from its package (images only)",
}
TAG = re.compile(r"[\w-]*(\.[\w-]+)*(?<!\.safetensors)(?<!\.pt)")
DELETE_BATCH = 2_000


@dataclass(frozen=True)
class NewEncoder:
    """An encoder to register. `checkpoint` names a file below the models folder, `pretrained` a tag of the source."""

    source: str
    model: str = ""
    pretrained: str = ""
    checkpoint: str = ""
    name: str = ""
    licence: str = ""
    quick_gelu: bool = False


def register(session: Session, actor: Actor, new: NewEncoder, *, confirmed: bool = False) -> Job:
    """Asks a worker to load an encoder and register it. Raises Invalid with what is wrong.

    `confirmed` by someone who read that the licence reaches the data; such an encoder is refused without.
    """
    _check_names(new)
    if reaches_data(new.licence, new.model, new.pretrained, new.checkpoint, new.name) and not confirmed:
        raise Invalid(REACH, "Confirm that you know.", fields={"confirmed": f"{REACH} Tick this to go on."})
    about = new.name or " / ".join(filter(None, (new.model or new.source, new.checkpoint or new.pretrained)))
    details = {"licence": new.licence} | ({"confirmed": True} if confirmed else {})
    jobs.record(session, "encoder.registration_asked", "encoder", about, user_id=actor.user_id, details=details)
    return jobs.submit(
        session, "register_encoder", WorkQueue.GPU, asdict(new), unit="encoders", requested_by=actor.user_id
    )


def _check_names(new: NewEncoder) -> None:
    if new.source not in SOURCES:
        _refuse("source", f"Choose one of {', '.join(SOURCES)}.")
    if not new.model and new.source != "efficientnet-lite0":
        _refuse("model", "Name the model.")
    if new.model.endswith(".json") and below(settings().models_path, new.model) is None:
        _refuse("model", _not_there(new.model))
    if new.model.startswith(FOLDER):
        _check_folder(new)
    if not TAG.fullmatch(new.pretrained):
        _refuse("pretrained", "A tag has letters, digits, dots, dashes and underscores only.")
    if new.checkpoint:
        _check_checkpoint(new)


def _check_folder(new: NewEncoder) -> None:
    if new.source != "open_clip":
        _refuse("model", f"{FOLDER} names a CLIP; choose open_clip as its source.")
    name = new.model.removeprefix(FOLDER)
    if folder_below(settings().models_path, name) is None:
        _refuse("model", f"There is no folder {name[:80]} in the models folder, {settings().models_path}.")
    for field in ("pretrained", "checkpoint"):
        if getattr(new, field):
            _refuse(field, "The folder brings its own weights.")
    if new.quick_gelu:
        _refuse("quick_gelu", "The folder's config says whether it was; leave this open.")


def _check_checkpoint(new: NewEncoder) -> None:
    if new.source == "efficientnet-lite0":
        _refuse("checkpoint", "EfficientNet-Lite0 brings its own weights.")
    if new.pretrained:
        _refuse("checkpoint", "Give a tag or a file, not both.")
    if Path(new.checkpoint).suffix not in CHECKPOINTS:
        _refuse("checkpoint", "Only .safetensors, or .pt that holds nothing but weights. Other files can run code.")
    if below(settings().models_path, new.checkpoint) is None:
        _refuse("checkpoint", _not_there(new.checkpoint))


def _refuse(field: str, said: str) -> NoReturn:
    raise Invalid(said, fields={field: said})


def _not_there(name: str) -> str:
    return f"There is no file {name[:80]} in the models folder, {settings().models_path}."


def add(session: Session, row: Encoder, job_id: int, user_id: int | None) -> Encoder:
    """Writes a loaded encoder's row. Raises Conflict when its name or what it is made of is registered already."""
    same = (Encoder.source == row.source) & (Encoder.model == row.model) & (Encoder.pretrained == row.pretrained)
    if known := session.scalars(select(Encoder).where(same)).first():
        raise Conflict(f"This is registered already, as {known.name}.")
    if session.scalar(select(Encoder.id).where(Encoder.name == row.name)):
        raise Conflict(f"There is an encoder named {row.name} already.", "Register this one under another name.")
    session.add(row)
    session.flush()
    details = {"licence": row.licence, "width": row.width, "weights": row.weights.value}
    jobs.record(session, "encoder.registered", "encoder", row.name, user_id=user_id, job_id=job_id, details=details)
    return row


# --- taking into use ----------------------------------------------------------------------------


def use(session: Session, actor: Actor, encoder_id: int, *, confirmed: bool = False) -> Job:
    """Asks for all images to be embedded under an encoder, which is then taken into use.

    Until then the one before stays in use. Raises Invalid without `confirmed` when its licence reaches the data,
    Conflict when another one is being taken into use, or this one deleted.
    """
    encoder = _locked(session, encoder_id)
    if encoder.reaches_data and not confirmed:
        raise Invalid(REACH, "Confirm that you know.", fields={"confirmed": "Tick this to go on."})
    _refuse_while_deleted(session, encoder)
    job = jobs.submit(
        session,
        "switch_encoder",
        WorkQueue.GPU,
        {"encoder": encoder.id},
        unit="images",
        dedupe="switch_encoder",
        requested_by=actor.user_id,
    )
    if job.arguments["encoder"] != encoder.id:
        raise Conflict("Another encoder is being taken into use.", "Wait until that ends, or stop it.")
    details = {"licence": encoder.licence} | ({"confirmed": True} if confirmed else {})
    jobs.record(session, "encoder.use_asked", "encoder", encoder.name, user_id=actor.user_id, details=details)
    return job


def take_into_use(session: Session, encoder: Encoder, failed: list[int], user_id: int | None) -> bool:
    """The last step of a switch: False, and nothing happens, while images lack a vector under the encoder.

    The stage's row is locked before they are counted, so no worker can write under the old encoder meanwhile.
    `failed` images can't be embedded and are not waited for.
    """
    session.scalars(select(Stage).where(Stage.name == "embedding").with_for_update()).one()
    if queries.without_vector(session, encoder.id, 0, 1, failed):
        return False
    before = stage_queries.encoder_in_use(session)
    if before and before.id == encoder.id:
        return True
    prefilter.use_encoder(session, encoder.id)
    _count_anew(session)
    if before and Weights.TRAINED in (before.weights, encoder.weights):
        _compare_again(session, user_id)
    return True


def _compare_again(session: Session, user_id: int | None) -> None:
    """The stages that compare vectors with texts look again at what nobody decided."""
    by_head = stage_queries.classifier_in_use(session) is not None
    name = "alignment" if by_head else "domain"
    if name in stages.BY_NAME:
        arguments = {"stage": name, "candidates": None}
        jobs.submit(session, "rerun", WorkQueue.CPU, arguments, unit="candidates", requested_by=user_id)


def ask_for_index(session: Session, encoder: Encoder) -> Job | None:
    """A job that builds an encoder's index, once it has enough vectors for one; None while it needs none.

    Where a build ended badly, a person decides when to try again.
    """
    if encoder.width > INDEXABLE_WIDTH or queries.index_state(session, encoder.id) == "ready":
        return None
    if queries.stopped_index_job(session, encoder.id) or not queries.has_vectors(session, encoder.id, INDEX_FROM):
        return None
    return _submit_index(session, encoder)


def build_index(session: Session, actor: Actor, encoder_id: int) -> Job:
    """Asks for an encoder's index, also where an earlier build ended badly. Raises Conflict when it can't have one."""
    encoder = _locked(session, encoder_id)
    if encoder.width > INDEXABLE_WIDTH:
        raise Conflict(f"{encoder.name} is {encoder.width} wide; pgvector indexes up to {INDEXABLE_WIDTH}.")
    if queries.index_state(session, encoder.id) == "ready":
        raise Conflict(f"The index of {encoder.name} is there.")
    _refuse_while_deleted(session, encoder)
    jobs.record(session, "encoder.index_asked", "encoder", encoder.name, user_id=actor.user_id)
    return _submit_index(session, encoder)


def _submit_index(session: Session, encoder: Encoder) -> Job:
    arguments = {"encoder": encoder.id}
    return jobs.submit(session, "index_encoder", WorkQueue.CPU, arguments, dedupe=f"index_encoder:{encoder.id}")


# --- downloading --------------------------------------------------------------------------------


def prepare(session: Session, actor: Actor, encoder_id: int) -> Job:
    """Asks for the package that a download sends. Raises Conflict where there can be none."""
    encoder = _locked(session, encoder_id)
    if said := no_download(encoder):
        raise Conflict(said)
    _refuse_while_deleted(session, encoder)
    jobs.record(session, "encoder.package_asked", "encoder", encoder.name, user_id=actor.user_id)
    arguments, dedupe = {"encoder": encoder.id}, f"package_model:{encoder.id}"
    return jobs.submit(session, "package_model", WorkQueue.GPU, arguments, dedupe=dedupe, requested_by=actor.user_id)


def note_download(session: Session, actor: Actor, encoder: Encoder, *, is_part: bool) -> None:
    details = {"what": "a part"} if is_part else {}
    jobs.record(session, "encoder.downloaded", "encoder", encoder.name, user_id=actor.user_id, details=details)


# --- deleting -----------------------------------------------------------------------------------


def remove(session: Session, actor: Actor, encoder_id: int, confirm: str) -> Job:
    """Asks for an encoder, its vectors and its index to be deleted. Raises Invalid, Conflict while it is in use."""
    encoder = _locked(session, encoder_id)
    if confirm != str(encoder_id):
        raise Invalid(f"Type {encoder_id} to go on.", fields={"confirm": f"Type {encoder_id} to go on."})
    refuse_if_used(session, encoder)
    jobs.record(session, "encoder.deletion_asked", "encoder", encoder.name, user_id=actor.user_id)
    return jobs.submit(
        session,
        "delete_encoder",
        WorkQueue.CPU,
        {"encoder": encoder.id},
        unit="vectors",
        dedupe=f"delete_encoder:{encoder.id}",
        requested_by=actor.user_id,
    )


def refuse_if_used(session: Session, encoder: Encoder) -> None:
    """Raises Conflict with what stands on the encoder: a stage, a classifier, a run from it, an evaluation, a job."""
    uses = queries.uses(session, encoder.id)
    if uses.stages or uses.classifiers:
        by = ", ".join([f"the stage {name}" for name in uses.stages] + uses.classifiers)
        raise Conflict(f"{encoder.name} is in use: {by}.", "Take another one into use first.")
    if uses.runs:
        runs = ", ".join(f"run {number}" for number in uses.runs)
        raise Conflict(
            f"{encoder.name} is what {runs} started from.", "It stays, so that they can be told and repeated."
        )
    if uses.evaluations:
        raise Conflict(
            f"{encoder.name} has {len(uses.evaluations)} evaluations.", "It stays, so that they can be told."
        )
    if queries.open_job(session, "switch_encoder", encoder.id):
        raise Conflict(f"{encoder.name} is being taken into use.", "Stop that job first.")
    if queries.open_job(session, "package_model", encoder.id):
        raise Conflict(f"The download of {encoder.name} is being prepared.", "Stop that job first.")


def delete_vectors(session: Session, encoder: Encoder) -> int:
    """One batch of an encoder's vectors; how many there were. Raises Conflict when it came into use."""
    refuse_if_used(session, encoder)
    some = select(Embedding.image_id).where(Embedding.encoder_id == encoder.id).limit(DELETE_BATCH)
    mine = (Embedding.encoder_id == encoder.id) & Embedding.image_id.in_(some)
    found = session.execute(delete(Embedding).where(mine).returning(Embedding.image_id)).all()
    return len(found)


def delete_row(session: Session, encoder: Encoder, job_id: int, user_id: int | None) -> None:
    _count_anew(session)
    session.execute(delete(Encoder).where(Encoder.id == encoder.id))
    jobs.record(session, "encoder.deleted", "encoder", encoder.name, user_id=user_id, job_id=job_id)


def _count_anew(session: Session) -> None:
    """Once a job has ended, its page loads itself no more: the counts there must be those of the end."""
    session.execute(delete(Tally).where(Tally.name == queries.COUNTS))


def _refuse_while_deleted(session: Session, encoder: Encoder) -> None:
    if queries.open_job(session, "delete_encoder", encoder.id):
        raise Conflict(f"{encoder.name} is being deleted.")


def _locked(session: Session, encoder_id: int) -> Encoder:
    """Using and deleting one encoder take turns. Raises NotFound."""
    encoder = stage_queries.encoder(session, encoder_id)
    session.execute(select(func.pg_advisory_xact_lock(USE_ENCODER, encoder.id)))
    return encoder
