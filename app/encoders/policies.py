"""What may be said of an encoder from its names alone: its index, its licence, its files. Nothing here asks."""

import re
from pathlib import Path

INDEX_FROM = 1_000  # vectors; below, reading all of them is as quick and exact
INDEXABLE_WIDTH = 2_000  # pgvector's limit for HNSW over `vector`
CHECKPOINTS = (".safetensors", ".pt")

REACH = (
    "Its terms count models trained on its outputs, and datasets made with them, as derivatives: what it filters or "
    "scores here comes under them too."
)

_REACHING_MODELS = re.compile(r"(?<![a-z])(conch|musk)(?![a-z])", re.IGNORECASE)
_REACHING_LICENCE = re.compile(r"\bBY[-\s]?NC[-\s]?ND\b", re.IGNORECASE)


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
