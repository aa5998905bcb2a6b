"""What a file is, by its name and by its first bytes, whatever the format of the posts around it."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from app.intake.reasons import Reason
from app.intake.records import Refused
from app.intake.trees import CLASH, FileTree

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".heic")
VIDEOS = (".mp4", ".mov", ".webm")
TABLES = (".csv", ".tsv")
SYSTEM = re.compile(r"(^|/)(__MACOSX/|\._|\.DS_Store$|Thumbs\.db$|desktop\.ini$)", re.IGNORECASE)


def split(name: str) -> tuple[str, str]:
    """A name without its extension, and the extension in lower case; `.json.xz` is one."""
    extension = ".json.xz" if name.lower().endswith(".json.xz") else PurePosixPath(name).suffix
    return name[: len(name) - len(extension)], extension.lower()


def holds_picture(tree: FileTree, name: str) -> bool:
    """Whether a file begins as a JPEG, PNG or WebP does, whatever its name says."""
    try:
        with tree.open(name) as file:
            head = file.read(12)
    except OSError:
        return False
    return head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")


def is_video(tree: FileTree, name: str) -> bool:
    """Whether a file is a video; some named so hold one JPEG."""
    return split(name)[1] in VIDEOS and not holds_picture(tree, name)


def unsafe_files(tree: FileTree) -> Iterator[Refused]:
    """The names of a tree that can't be opened, each refused."""
    for name, problem in tree.unsafe:
        reason = Reason.NAME_CLASH if problem == CLASH else Reason.UNSAFE_PATH
        yield Refused(reason, name, problem, files=(name,), entry=False)
