"""What may be said of an encoder from its row alone: its index, its licence, its files. Nothing here asks."""

import re
import shlex
from pathlib import Path

from app.tables import Encoder, EncoderKind, Weights

INDEX_FROM = 1_000  # vectors; below, reading all of them is as quick and exact
INDEXABLE_WIDTH = 2_000  # pgvector's limit for HNSW over `vector`
CHECKPOINTS = (".safetensors", ".pt")
OWN_LICENCE = "Yours to choose: it was trained here from random weights"
FOLDER = "local-dir:"  # open_clip's word for a model that is a folder with its config and its weights

REACH = (
    "Its terms count models trained on its outputs, and datasets made with them, as derivatives: what it filters or "
    "scores here comes under them too."
)

_REACHING_MODELS = re.compile(r"(?<![a-z])(conch|musk)(?![a-z])", re.IGNORECASE)
_REACHING_LICENCE = re.compile(r"\bBY[-\s]?NC[-\s]?ND\b", re.IGNORECASE)


def command(
    source: str, model: str, pretrained: str, checkpoint: str, name: str, licence: str, quick_gelu: bool
) -> str:
    """What registers the same model from the shell."""
    given = {"pretrained": pretrained, "checkpoint": checkpoint, "name": name, "licence": licence}
    options = [part for option, value in given.items() if value for part in (f"--{option}", value)]
    chosen = [] if source == "open_clip" else ["--source", source]
    words = ["ipath", "encoder", "add", model or source, *chosen, *options]
    return shlex.join(words + (["--quick-gelu"] if quick_gelu else []))


def origin(encoder: Encoder) -> str:
    """Where a model's weights come from, of one that no run here made."""
    if encoder.weights is Weights.RANDOM:
        return "Random weights"
    if encoder.model.startswith(FOLDER):
        return f"Folder {encoder.model.removeprefix(FOLDER)}"
    if encoder.pretrained.endswith(CHECKPOINTS):
        return f"File {encoder.pretrained}"
    return "Python package" if encoder.source == "efficientnet-lite0" else "Hub"


def no_download(encoder: Encoder) -> str:
    """Why a model can't be downloaded, "" where it can."""
    if encoder.kind is EncoderKind.IMAGE:
        return f"{encoder.name} reads images only; open_clip has no such model. Load it from where it comes from."
    if encoder.reaches_data:
        return f"The licence of {encoder.name} does not let it be passed on. Load it from where it comes from."
    return ""


def snippet(folder: str) -> str:
    """How to load a package with plain open_clip, beside its folder."""
    return f"""\
import open_clip
model, _, preprocess = open_clip.create_model_and_transforms("{FOLDER}{folder}")
tokenizer = open_clip.get_tokenizer("{FOLDER}{folder}")"""


def index_name(encoder_id: int) -> str:
    return f"ix_embedding_hnsw_{encoder_id}"


def reaches_data(licence: str, *names: str) -> bool:
    """Whether a licence reaches datasets that its model selects: CONCH's and MUSK's (CC BY-NC-ND 4.0) do."""
    by_name = any(_REACHING_MODELS.search(name) for name in names)
    return by_name or bool(_REACHING_LICENCE.search(licence))


def below(folder: Path, name: str) -> Path | None:
    """The file of that name below `folder`, None where there is none: a name never leads out, by link or dots."""
    try:
        path = (folder / name).resolve(strict=True)
    except (OSError, ValueError):  # not there, too long, a loop of links, a NUL
        return None
    return path if path.is_relative_to(folder.resolve()) and path.is_file() else None


def folder_below(folder: Path, name: str) -> Path | None:
    """The same of a folder; the models folder itself is none."""
    try:
        path = (folder / name).resolve(strict=True)
    except (OSError, ValueError):
        return None
    return path if folder.resolve() in path.parents and path.is_dir() else None
