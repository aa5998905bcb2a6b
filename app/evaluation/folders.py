"""Where evaluation sets lie (read only), and what reading and evaluating them leave: files by the ids of rows."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.config import settings
from app.errors import Conflict, Invalid, NotFound
from app.publish import publish_file


@dataclass(frozen=True)
class Folder:
    """A folder that lies directly in an evaluation root. `key` is what a form sends back and a row keeps."""

    root: int
    name: str

    @property
    def key(self) -> str:
        return f"{self.root}/{self.name}"


def folders() -> list[Folder]:
    """Visible sub-folders of the evaluation roots, no links."""
    found = []
    for number, root in enumerate(settings().evaluation_roots):
        if root.is_dir():
            with os.scandir(root) as entries:
                found += [
                    Folder(number, entry.name)
                    for entry in entries
                    if entry.is_dir(follow_symlinks=False)
                    and not entry.name.startswith(".")
                    and entry.name.isprintable()
                ]
    return sorted(found, key=lambda folder: (folder.root, folder.name))


def listed(key: str) -> Folder:
    """The listed folder that a form chose. Raises Invalid when it is not (or no longer) there."""
    found = next((folder for folder in folders() if folder.key == key), None)
    if found is None:
        gone = "This folder is not among the evaluation sets any more. Choose another."
        raise Invalid(gone, fields={"folder": gone})
    return found


def place(key: str) -> Path:
    """The folder behind a row's key. Raises NotFound when it is no longer listed."""
    try:
        found = listed(key)
    except Invalid:
        name = key.partition("/")[2]
        raise NotFound(f"The folder {name} is no longer where it was.", "Put it back, then try again.") from None
    return settings().evaluation_roots[found.root].resolve() / found.name


# --- what is kept of a set ----------------------------------------------------------------------


def of_set(set_id: int) -> Path:
    return settings().evaluations_path / "sets" / str(set_id)


def delete_set(set_id: int) -> None:
    """Deletes what reading a set left; its own folder is only ever read."""
    shutil.rmtree(of_set(set_id), ignore_errors=True)


def items_file(set_id: int, items_sha256: str) -> Path:
    """One reading of the folder: columns variant, number, id, label, split, group, file (its SHA-256)."""
    return of_set(set_id) / f"items-{items_sha256[:16]}.parquet"


def problems_file(set_id: int, items_sha256: str) -> Path:
    """Everything that one reading skipped or missed: columns path, what (unreadable, missing, skipped), why.

    What is unreadable or missing is an item of the set; what is skipped is none.
    """
    return of_set(set_id) / f"problems-{items_sha256[:16]}.parquet"


def thumbnail_file(set_id: int, items_sha256: str, number: int) -> Path:
    """A small copy of a picture, by its number in one reading of the folder."""
    return of_set(set_id) / f"thumbs-{items_sha256[:16]}" / f"{number}.jpg"


# --- what an evaluation leaves ------------------------------------------------------------------


def of_evaluation(evaluation_id: int) -> Path:
    return settings().evaluations_path / str(evaluation_id)


def delete(evaluation_id: int) -> None:
    """Deletes all that an evaluation left; features of pictures stay, others use them too."""
    shutil.rmtree(of_evaluation(evaluation_id), ignore_errors=True)


def passport_file(evaluation_id: int) -> Path:
    return of_evaluation(evaluation_id) / "passport.json.gz"


def predictions_file(evaluation_id: int) -> Path:
    return of_evaluation(evaluation_id) / "predictions.parquet"


def kept_passport(sha256: str) -> Path:
    """A passport that someone gave to be run again."""
    return settings().evaluations_path / "passports" / f"{sha256}.json.gz"


def features_folder() -> Path:
    return settings().evaluations_path / "features"


def features_size() -> int:
    """Bytes that the kept features take."""
    size = 0
    for path in features_folder().rglob("*"):
        with suppress(FileNotFoundError):  # a draft that took its name meanwhile
            size += path.stat().st_size if path.is_file() else 0
    return size


def delete_features() -> int:
    """Deletes all kept features, and what pictures are recognised by; the bytes that came free. All is made again."""
    before = features_size()
    shutil.rmtree(features_folder(), ignore_errors=True)
    return before - features_size()


def delete_features_of(checksum: str) -> None:
    """Deletes the features of a model's weights."""
    for folder in features_folder().glob(f"{checksum}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def digest(rows: Iterable[Sequence[Any]]) -> str:
    """SHA-256 of rows of plain values, in their order."""
    made = hashlib.sha256()
    for row in rows:
        made.update(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    return made.hexdigest()


# --- tables -------------------------------------------------------------------------------------


def write_table(path: Path, columns: dict[str, Any]) -> str:
    """Publishes columns of equal length as Parquet; its SHA-256."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with publish_file(path) as draft:
        pq.write_table(pa.table(columns), draft.file, compression="zstd")
    return draft.sha256


def read_rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a table as dicts, a batch in memory at a time. Raises Conflict when the file is not there."""
    import pyarrow.parquet as pq

    if not path.is_file():
        raise Conflict(f"{path.name} is not there any more.", "Read the set again, or evaluate again.")
    with pq.ParquetFile(path) as table:
        for batch in table.iter_batches(columns=list(columns) if columns else None):
            yield from batch.to_pylist()
