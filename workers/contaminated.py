"""Which items of a set a model has learned from: those in the snapshots that it, and what it began from, trained on."""

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from app.db import transaction
from app.evaluation import folders, lineage
from app.evaluation.policies import SEEN
from app.jobs import RunningJob
from app.storage import blobs
from app.tables import Encoder, Weights
from workers.classifying import Set
from workers.evaluating.contamination import Copy, Prints, copies
from workers.evaluating.features import cache_name, features
from workers.evaluation_sets import open_picture
from workers.ml.encoder import Encoder as Network
from workers.ml.perceptual import Hash, pdq
from workers.ml.vectors import Vectors
from workers.set_files import content_of

LISTED = 100
UNKNOWN = "What {} was trained on is not known here."
UNTRAINED = "{} was not trained: its weights are random."
PRACTISED = "{} was trained on the drawn practice set alone, which holds none of these items."


def look(
    job: RunningJob, encoder: Encoder, network: Network, of: Set, ids: Sequence[str], vectors: Vectors
) -> tuple[dict[str, Any], list[Copy]]:
    """What the page says of it, and the copies. `vectors` [n, d] are of the items `ids` under the network."""
    with transaction() as session:
        snapshots = lineage.learned_from(session, encoder.id)
        pictures = lineage.training_pictures(session, snapshots) if snapshots else []
    if not pictures:
        return {"checked": False, "why_not": why_not(encoder)}, []
    job.message = "Looking for items that were in training"
    training = _training(job, network, encoder.checksum, pictures)
    candidates = {one.sha256: one.candidate_id for one in pictures}
    items = prints(job, of, ids, vectors)
    found = copies(items, training, partial(as_bytes, of.root, of.layout), blobs().get, progress=_checked(job))
    return _told(found, candidates, len(training.ids)), found


def look_among_pairs(encoder: Encoder, snapshot_id: int, keys: Sequence[str]) -> tuple[dict[str, Any], list[Copy]]:
    """The same of a snapshot's held-out pairs, whose copies the product knows already.

    A pair that is held out now may have been trained on before: by an earlier snapshot that held nothing out, or as
    a duplicate of which nobody knew.
    """
    with transaction() as session:
        snapshots = lineage.learned_from(session, encoder.id)
        training = {one.sha256 for one in lineage.training_pictures(session, snapshots)} if snapshots else set()
        seen = lineage.seen_in_training(session, snapshot_id, snapshots) if training else {}
    if not training:
        return {"checked": False, "why_not": why_not(encoder)}, []
    found = [Copy(key, str(seen[key][1]), seen[key][0], 1.0) for key in keys if key in seen]
    return _told(found, {str(id_): id_ for _, id_ in seen.values()}, len(training)), found


def _told(found: Sequence[Copy], candidates: Mapping[str, int], training: int) -> dict[str, Any]:
    """What the page says of copies; `candidates` by their training pictures."""
    kinds: list[str] = [copy.kind for copy in found]
    return {
        "checked": True,
        "training": training,
        "items": len(found),
        **{kind: kinds.count(kind) for kind in SEEN},
        "list": [
            {"item": copy.item, "how": SEEN[copy.kind], "candidate": candidates[copy.training]}
            for copy in found[:LISTED]
        ],
    }


def why_not(encoder: Encoder) -> str:
    """Why no training pair of a model can be looked for."""
    if encoder.weights is Weights.RANDOM:
        return UNTRAINED.format(encoder.name)
    with transaction() as session:
        practised = lineage.only_practised(session, encoder.id)
    return (PRACTISED if practised else UNKNOWN).format(encoder.name)


def _training(job: RunningJob, network: Network, checksum: str, pictures: Sequence[lineage.TrainingPicture]) -> Prints:
    """The training pictures by the hash of what was published; vectors come from the cache of blobs."""
    by_sha = {one.sha256: one for one in pictures}
    cache = folders.features_folder() / cache_name(network, checksum, "blobs")
    wanted = [(sha, partial(blobs().get, sha)) for sha in by_sha]
    found = features(network, wanted, cache=cache, progress=_checked(job))
    kept = [by_sha[sha] for sha in found.ids]
    hashes = [_stored_hash(one) or _hash(partial(blobs().get, one.sha256)) for one in kept]
    return Prints(found.ids, [(one.sha256, one.source_sha256) for one in kept], hashes, found.vectors)


def _stored_hash(one: lineage.TrainingPicture) -> Hash | None:
    """The hash that the pre-filter computed of the whole picture, where that is what was published."""
    if one.pdq is None or one.is_cropped:
        return None
    return Hash(int(one.pdq, 2).to_bytes(32), one.quality or 0, 1.0)


def prints(job: RunningJob, of: Set, ids: Sequence[str], vectors: Vectors) -> Prints:
    """What the items are recognised by; computed once for a folder, then kept beside the features."""
    path = folders.features_folder() / f"prints-{content_of(of.root)[:24]}.parquet"
    known = {row["item"]: row for row in folders.read_rows(path)} if path.is_file() else {}
    missing = [id_ for id_ in ids if id_ not in known]
    for done, id_ in enumerate(missing):
        if done % 64 == 0:
            job.check()
        hash_ = _hash(partial(as_bytes, of.root, of.layout, id_))
        known[id_] = {"item": id_, "pdq": hash_.pdq if hash_ else b"", "quality": hash_.quality if hash_ else 0}
    if missing:
        rows = list(known.values())
        folders.write_table(path, {name: [row[name] for row in rows] for name in ("item", "pdq", "quality")})
    hashes = [Hash(known[id_]["pdq"], known[id_]["quality"], 1.0) if known[id_]["pdq"] else None for id_ in ids]
    return Prints(ids, [(of.files[id_],) if of.files[id_] else () for id_ in ids], hashes, np.asarray(vectors))


def _hash(read: Callable[[], bytes]) -> Hash | None:
    try:
        return pdq(read())
    except OSError:
        return None


def as_bytes(root: Path, layout: str, id_: str) -> bytes:
    """An item as a file's bytes, whatever it lies in. Raises Unreadable, an OSError."""
    buffer = io.BytesIO()
    open_picture(root, layout, id_).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _checked(job: RunningJob) -> Callable[[int, int], None]:
    def tell(_done: int, _of: int) -> None:
        job.check()

    return tell
