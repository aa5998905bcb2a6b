"""Where an import reads from: an upload, an entry of an import root, or a path given on the command line.

No request names a path: uploads get generated names, and entries of import roots are chosen from a listing.
"""

import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from app.config import settings
from app.errors import Invalid, NotFound
from app.intake.trees import ArchiveRefused, FileList, FileTree, open_tree
from app.publish import sync_folder

UPLOAD_LIMIT = 2_000_000_000
UPLOAD_FILES = 2


@dataclass(frozen=True)
class Location:
    """What an import's row keeps of its place. `place` is JSON; `origin` is the label people see."""

    place: dict[str, Any]
    origin: str


@dataclass(frozen=True)
class InboxEntry:
    """A folder or file that lies directly in an import root. `key` is what a form sends back."""

    root: int
    name: str
    is_folder: bool

    @property
    def key(self) -> str:
        return f"{self.root}/{self.name}"

    @property
    def label(self) -> str:
        return f"{self.name}/" if self.is_folder else self.name


def inbox() -> list[InboxEntry]:
    """What an admin may import from the server: visible folders and files of the import roots, no links."""
    found = []
    for number, root in enumerate(settings().import_roots):
        if root.is_dir():
            with os.scandir(root) as entries:
                found += [
                    InboxEntry(number, entry.name, entry.is_dir(follow_symlinks=False))
                    for entry in entries
                    if not entry.name.startswith(".") and not entry.is_symlink() and _is_text(entry.name)
                ]
    return sorted(found, key=lambda entry: (entry.root, entry.name))


def _is_text(name: str) -> bool:
    """A name that is no valid UTF-8 can neither be shown nor sent back."""
    return name.isprintable() and not any("\ud800" <= letter <= "\udfff" for letter in name)


def in_inbox(key: str) -> Location:
    """The listed entry that a form chose. Raises Invalid when it is not (or no longer) there."""
    entry = next((entry for entry in inbox() if entry.key == key), None)
    if entry is None:
        gone = "This folder is not in the inbox any more. Choose another."
        raise Invalid(gone, fields={"inbox": gone})
    root = settings().import_roots[entry.root].resolve()
    return Location({"kind": "inbox", "root": str(root), "name": entry.name}, entry.label)


def at_path(path: Path, pictures: Path | None = None) -> Location:
    """A path from the command line, with a folder or zip of pictures for a table. Raises Invalid."""
    for given in filter(None, (path, pictures)):
        if not given.exists():
            raise Invalid(f"There is nothing at {given}.", "Check the path and run the command again.")
    place = {"kind": "path", "path": str(path.resolve())}
    if pictures:
        place["pictures"] = str(pictures.resolve())
    return Location(place, f"{path.name}/" if path.is_dir() else path.name)


def paths(place: dict[str, Any]) -> list[Path]:
    """What to read: a folder, archive or table, and maybe the pictures of a table. Raises NotFound."""
    match place["kind"]:
        case "upload":
            found = [settings().uploads_path / name for name in place["names"]]
        case "inbox":
            found = [Path(place["root"]) / place["name"]]
        case _:
            found = [Path(place[key]) for key in ("path", "pictures") if key in place]
    for path in found:
        if not path.exists():
            raise NotFound(f"{path.name} is no longer where it was.", "Put it back, or import it from where it is.")
    return found


def open_place(place: dict[str, Any]) -> FileTree:
    """The files of a place as one tree. Raises NotFound when it is gone, Invalid when it can't be taken."""
    found = sorted(paths(place), key=_is_tree)
    try:
        if len(found) == UPLOAD_FILES and _is_tree(found[1]) and not _is_tree(found[0]):
            return FileList(found[0], open_tree(found[1]))
        if len(found) > 1:
            raise Invalid("Two files are taken only as a table and a zip of its pictures.", "Send them one by one.")
        # Beside an upload or in the inbox lie files of other imports; they are not this table's pictures.
        alone = place["kind"] != "path" and not _is_tree(found[0])
        return FileList(found[0], None) if alone else open_tree(found[0])
    except ArchiveRefused as error:
        raise Invalid(with_labels(place, str(error))) from error


def _is_tree(path: Path) -> bool:
    return path.is_dir() or zipfile.is_zipfile(path)


def shown_names(place: dict[str, Any]) -> dict[str, str]:
    """Generated name → what people call the file."""
    return dict(zip(place["names"], place["labels"], strict=True)) if place["kind"] == "upload" else {}


def with_labels(place: dict[str, Any], message: str) -> str:
    """A message about the files, in the names that people know."""
    for name, label in shown_names(place).items():
        message = message.replace(name, label)
    return message


# --- uploads ------------------------------------------------------------------------------------


def receiving() -> Path:
    """A fresh temporary name in the folder of uploads."""
    folder = settings().uploads_path
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f".{uuid4().hex}"


def publish(temporary: Path) -> str:
    """Gives a received file its generated name, durably: fsync, rename, fsync the folder."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    name = temporary.name.lstrip(".")
    temporary.replace(temporary.with_name(name))
    sync_folder(temporary.parent)
    return name


def uploaded(files: Iterable[tuple[str, str]]) -> Location:
    """Files as (generated name, original name). Raises Invalid without any."""
    names, given = zip(*files, strict=True) if files else ((), ())
    if not names:
        raise Invalid("Choose a file, or a folder of the inbox.", fields={"files": "Choose a file."})
    shown = [shown_name(name) for name in given]
    return Location({"kind": "upload", "names": list(names), "labels": shown}, " + ".join(shown))


def shown_name(name: str) -> str:
    """An upload's original name as a label: the last part, printable, at most 120 characters."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(letter if letter.isprintable() else "�" for letter in last)[-120:] or "upload"
