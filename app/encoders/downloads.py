"""What a download of a model holds: its package, the card filled from what we know now, and their checksums."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from app.archive import Archive
from app.config import settings
from app.encoders.card import CARD, card
from app.encoders.policies import folder_below
from app.encoders.queries import Shown, Step
from app.tables import Encoder

CHECKSUMS = "SHA256SUMS"


def folder_of(encoder: Encoder) -> Path | None:
    """A model's package; None where none was made yet, or its files are not there as they were."""
    folder = folder_below(settings().models_path, encoder.package) if encoder.package else None
    files = encoder.provenance.get("files", {})
    if folder is None or not files:
        return None
    sizes = {name: (folder / name).stat().st_size for name in files if (folder / name).is_file()}
    return folder if sizes == {name: entry["size"] for name, entry in files.items()} else None


def archive_of(folder: Path, one: Shown, steps: Sequence[Step]) -> tuple[Archive, str]:
    """The tar, and what stands for its bytes: the card may change, and a broken download then starts again."""
    files = one.encoder.provenance["files"]
    text = card(one, steps, folder.name).encode()
    sums = {name: entry["sha256"] for name, entry in files.items()} | {CARD: hashlib.sha256(text).hexdigest()}
    listed = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()
    made = {CARD: text, CHECKSUMS: listed}
    return Archive(folder, folder.name, files, made), hashlib.sha256(listed).hexdigest()
