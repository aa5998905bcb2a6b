"""The bytes of a set's files: hashed once, then known again by names, sizes and times."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from app.evaluation import folders
from workers.evaluation_sets.reading import inside
from workers.vectors import sha256_at


def content_of(root: Path) -> str:
    """SHA-256 of the names, sizes and times of a folder's files: features of other bytes are never taken for theirs."""
    found = []
    for where, _, names in os.walk(root):
        for name in names:
            stat = (Path(where) / name).lstat()
            found.append(f"{where}/{name}\0{stat.st_size}\0{stat.st_mtime_ns}".removeprefix(str(root)))
    return hashlib.sha256("\n".join(sorted(found)).encode("utf-8", "surrogateescape")).hexdigest()


def file_digests(root: Path, ids: Sequence[str], check: Callable[[], None] = lambda: None) -> dict[str, str]:
    """The SHA-256 of the file that each item is or lies in, "" where there is none; read once, then kept.

    `check` is called before each file and may raise to stop.
    """
    names = {id_: _file_of(root, id_) for id_ in ids}
    path = folders.features_folder() / f"files-{content_of(root)[:24]}.parquet"
    known = {row["file"]: row["sha256"] for row in folders.read_rows(path)} if path.is_file() else {}
    missing = dict.fromkeys(name for name in names.values() if name and name not in known)
    for name in missing:
        check()
        known[name] = _digest(root, name)
    if missing:
        folders.write_table(path, {"file": list(known), "sha256": list(known.values())})
    return {id_: known.get(name, "") for id_, name in names.items()}


def is_there(root: Path, id_: str) -> bool:
    """Whether an item is a file of the folder, or lies in one."""
    return bool(_file_of(root, id_))


def _file_of(root: Path, id_: str) -> str:
    """An id is a file's path, or goes on behind it with "#" and the place in it."""
    name = id_
    while name:
        if _is_file(root, name):
            return name
        name = name.rpartition("#")[0]
    return ""


def _is_file(root: Path, name: str) -> bool:
    """An id may come from anybody's passport: it never leads out of the folder."""
    try:
        return inside(root, name).is_file()
    except OSError:
        return False


def _digest(root: Path, name: str) -> str:
    try:
        return sha256_at(inside(root, name))
    except OSError:
        return ""
