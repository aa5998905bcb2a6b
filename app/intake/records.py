"""What every reader yields: posts, refusals and ignored files, one after the other as it reads.

Units are entries and files. An entry is one picture with one caption; a post without pictures is one
entry. Every file of the input is in exactly one of `Record.files`, `Refused.files` and `Ignored`.
"""

import codecs
import re
from dataclasses import dataclass
from datetime import datetime

from app.intake.reasons import Kind, Reason

MAX_CAPTION = 20_000
LONE = "replace_lone"  # the name of our handler of characters that no database holds
LONE_BYTES = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")


@dataclass(frozen=True)
class Picture:
    """A picture of a post. `declared_*` is what the metadata says of its size, to be held against the file.

    `caption_ordinal` counts captions of the same picture; `caption` is its own, where it differs from the post's.
    `alt_text` is what the platform says is to be seen, mostly written by a machine: never a caption.
    """

    position: int
    file: str
    declared_width: int | None = None
    declared_height: int | None = None
    caption: str | None = None
    caption_ordinal: int = 1
    row: int | None = None
    alt_text: str = ""


@dataclass(frozen=True)
class Record:
    """A post with its pictures, each of them an entry. `files` are all the files it was read from.

    `earlier_captions` were replaced by the author; they are history, never captions.
    """

    platform: str
    natural_key: str
    pictures: tuple[Picture, ...]
    caption_raw: str
    caption_from: str
    files: tuple[str, ...]
    account_id: str | None = None
    account_name: str | None = None
    shortcode: str | None = None
    media_pk: str | None = None
    taken_at: datetime | None = None
    permalink: str | None = None
    is_edited: bool | None = None
    earlier_captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """An entry that is not taken (`entry`), or only files that belong to none. `file` is the name to show."""

    reason: Reason
    file: str
    detail: str = ""
    files: tuple[str, ...] = ()
    row: int | None = None
    position: int | None = None
    entry: bool = True


@dataclass(frozen=True)
class Ignored:
    """A side file that is no post."""

    file: str
    kind: Kind


Item = Record | Refused | Ignored


def plain_text(text: str) -> str:
    """Text that the database can hold: NUL and lone surrogates become U+FFFD; nothing else changes."""
    return text.encode("utf-8", LONE).decode("utf-8").replace("\x00", "\ufffd")


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    """One U+FFFD for each lone surrogate, also where UTF-8 spells it in three bytes, and for other bad bytes."""
    if isinstance(error, UnicodeEncodeError):
        return "\ufffd".encode() * (error.end - error.start), error.end
    assert isinstance(error, UnicodeDecodeError)
    lone = LONE_BYTES.match(error.object, error.start)
    return "\ufffd", lone.end() if lone else error.end


codecs.register_error(LONE, _replace)
