"""The bytes of a set's files: hashed, and known again by names, sizes and times as long as none of these changes."""

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from PIL import Image

from app.evaluation import folders
from workers.evaluating.features import Changed
from workers.evaluation_sets import open_picture
from workers.evaluation_sets.reading import Folder, Version, inside
from workers.vectors import sha256_at


def content_of(root: Path) -> str:
    """SHA-256 of the names, sizes and times of a folder's files: other bytes are never taken for theirs.

    Among the times is that of the last change (ctime): a file's own (mtime) can be set back.
    """
    found = []
    for name in Folder(root, lambda _done, _of: None).files:
        stat = (root / name).lstat()
        found.append(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}")
    return hashlib.sha256("\n".join(found).encode()).hexdigest()


def file_digests(
    root: Path, ids: Sequence[str], check: Callable[[], None] = lambda: None, *, anew: bool = False
) -> dict[str, str]:
    """The SHA-256 of the file that each item is or lies in, "" where there is none; read once or `anew`, then kept.

    `check` is called before each file and may raise to stop.
    """
    names = {id_: _file_of(root, id_) for id_ in ids}
    path = folders.features_folder() / f"files-{content_of(root)[:24]}.parquet"
    known = {row["file"]: row["sha256"] for row in folders.read_rows(path)} if path.is_file() and not anew else {}
    missing = dict.fromkeys(name for name in names.values() if name and name not in known)
    for name in missing:
        check()
        known[name] = _digest(root, name)
    if missing:
        folders.write_table(path, {"file": list(known), "sha256": list(known.values())})
    return {id_: known.get(name, "") for id_, name in names.items()}


def open_unchanged(root: Path, layout: str, id_: str, sha256: str, at_least: int) -> Image.Image:
    """The picture of an item, as `open_picture` gives it. Raises Changed where its file has not that SHA-256.

    The file is hashed after it was decoded, so that a change in between is noticed too.
    """
    picture = open_picture(root, layout, id_, at_least)
    if _digest_of(Version.of(inside(root, _file_of(root, id_)))) != sha256:
        raise Changed(f"{id_} changed since the set was read. Read the set again.")
    return picture


@lru_cache(maxsize=64)
def _digest_of(file: Version) -> str:
    """Of a file that many items lie in, hashed once."""
    return sha256_at(file.path)


def place_in_file(root: Path, id_: str) -> str:
    """What follows the name of the file that an item lies in; "" where it is the file."""
    return id_.removeprefix(_file_of(root, id_)) if "#" in id_ else ""


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
