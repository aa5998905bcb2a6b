"""Archives made to hurt, each written when asked for."""

import json
import os
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.intake.hostile_pictures import WEB_PAGE, jpeg

Member = tuple[str | zipfile.ZipInfo, bytes]
GOOD: Member = ("good.txt", b"good")
LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def zipped(path: Path, *members: Member, packing: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def patched(path: Path, signature: bytes, offset: int, form: str, value: int, last: bool = False) -> Path:
    """A zip with one number of its first (or last) header of a kind overwritten."""
    data = bytearray(path.read_bytes())
    at = (data.rindex if last else data.index)(signature) + offset
    struct.pack_into(form, data, at, value)
    path.write_bytes(data)
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def special(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o777) << 16
    return info


def pair(path: Path) -> Path:
    return zipped(path, ("a.txt", os.urandom(2000)), ("b.txt", os.urandom(2000)))


def cut_short(path: Path) -> Path:
    whole = pair(path)
    whole.write_bytes(whole.read_bytes()[:2000])
    return whole


def locked(path: Path) -> Path:
    return patched(patched(zipped(path, GOOD), LOCAL, 6, "<H", 1), CENTRAL, 8, "<H", 1)


def unpacks_to_more(path: Path, packing: int) -> Path:
    """States 1,000 bytes; larger ones fill the memory of a library that unpacks without a limit."""
    return patched(zipped(path, ("a.txt", bytes(3_000_000)), packing=packing), CENTRAL, 24, "<I", 1000)


# Refused whole, and what the message says.
ARCHIVES_REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "cut short": (cut_short, "no readable zip"),
    "version of the future": (lambda path: patched(zipped(path, GOOD), CENTRAL, 6, "<H", 99), "no readable zip"),
    "name that is no UTF-8": (
        lambda path: patched(
            patched(zipped(path, ("\u00fc.txt", b"x")), CENTRAL, 46, "<H", 0xFFFF), LOCAL, 30, "<H", 0xFFFF
        ),
        "no readable zip",
    ),
    "table of contents elsewhere": (lambda path: patched(pair(path), END, 16, "<I", 4_000_000_000), "overlap"),
    "table of contents of 4 GB": (lambda path: patched(pair(path), END, 12, "<I", 4_000_000_000), "more than 200,000"),
    "50 MB of zeros": (lambda path: zipped(path, ("zeros.bin", bytes(50_000_000))), "far more than pictures do"),
    "50 GB as stated": (
        lambda path: patched(
            patched(pair(path), CENTRAL, 24, "<I", 4_294_967_294), CENTRAL, 24, "<I", 4_294_967_294, last=True
        ),
        "far more than pictures do",
    ),
    "overlapping members": (lambda path: patched(pair(path), CENTRAL, 42, "<I", 10, last=True), "overlap"),
    "one member twice": (lambda path: patched(pair(path), CENTRAL, 42, "<I", 0, last=True), "overlap"),
    "member over the table of contents": (
        lambda path: patched(pair(path), CENTRAL, 20, "<I", 9_000, last=True),
        "overlap",
    ),
    "locked": (locked, "password"),
    "bzip2 bomb": (lambda path: unpacks_to_more(path, zipfile.ZIP_BZIP2), "unusual way"),
    "LZMA bomb": (lambda path: unpacks_to_more(path, zipfile.ZIP_LZMA), "unusual way"),
    "packed in a way of its own": (lambda path: patched(zipped(path, GOOD), CENTRAL, 10, "<H", 77), "unusual way"),
}

# Names that are set aside; the good member beside them is read.
ARCHIVES_WITH_BAD_NAMES: dict[str, tuple[Member, ...]] = {
    "parent folder": (("../up.txt", b"x"),),
    "parent folder inside": (("a/../../up.txt", b"x"),),
    "root": (("/root.txt", b"x"),),
    "drive": (("C:/drive.txt", b"x"),),
    "drive without a slash": (("c:drive.txt", b"x"),),
    "backslashes": (("..\\up.txt", b"x"),),
    "share": (("\\\\server\\share.txt", b"x"),),
    "folder itself": ((".", b"x"),),
    "long name": (("x" * 5_000 + ".txt", b"x"),),
    "link": ((special("link.jpg", stat.S_IFLNK), b"/etc/passwd"),),
    "device": ((special("device", stat.S_IFCHR), b""),),
    "pipe": ((special("pipe", stat.S_IFIFO), b""),),
    "twins by case": (("A.jpg", b"1"), ("a.jpg", b"2")),
    "twins by form of Unicode": (("Pru\u0308fung.jpg", b"1"), ("Pr\u00fcfung.jpg", b"2")),
    "twins by separator": (("b\\a.jpg", b"1"), ("b/a.jpg", b"2")),
}


def one_post() -> tuple[Member, ...]:
    """A good post as Instaloader writes it."""
    node = {"shortcode": "C4abcDEF123", "__typename": "GraphImage", "caption": "Naevus.", "owner": {"id": "77"}}
    whole = {"node": node, "instaloader": {"version": "4.16", "node_type": "Post"}}
    return ("2024-03-01_10-20-30_UTC.json", json.dumps(whole).encode()), ("2024-03-01_10-20-30_UTC.jpg", jpeg())


def with_members(*members: Member) -> Callable[[Path], Path]:
    """Makes an archive of a good post and these."""

    def make(path: Path) -> Path:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Duplicate name")
            return zipped(path, *one_post(), *members)

    return make


def in_code_page_437(path: Path) -> Path:
    """A name with no word on its encoding, as old packers write them."""
    path = with_members(("Pr_fung.txt", b"x"))(path)
    path.write_bytes(path.read_bytes().replace(b"Pr_fung", b"Pr\x81fung"))
    return path


def damaged(path: Path) -> Path:
    """The bytes of one member are not what was packed."""
    words = b"some words again and again " * 40
    path = with_members(("notes.txt", words))(path)
    whole = path.read_bytes()
    at = whole.index(b"notes.txt") + 12
    path.write_bytes(whole[:at] + bytes(20) + whole[at + 20 :])
    return path


NO_ARCHIVES: dict[str, Callable[[Path], Path]] = {
    "empty": zipped,
    "only folders": lambda path: zipped(path, ("posts/", b"")),
    "empty file": lambda path: written(path, b""),
    "first bytes of a zip": lambda path: written(path, b"PK\x03\x04" + bytes(200)),
    "web page named zip": lambda path: written(path, WEB_PAGE),
    "RAR named zip": lambda path: written(path, b"Rar!\x1a\x07\x01\x00"),
}

# What lies beside the good post is refused or ignored by itself.
ARCHIVES_WITH_BAD_MEMBERS: dict[str, Callable[[Path], Path]] = {
    **{name: with_members(*members) for name, members in ARCHIVES_WITH_BAD_NAMES.items()},
    "duplicate names": with_members(("a.jpg", b"1"), ("a.jpg", b"2")),
    "decomposed names": with_members(("Pru\u0308fung.txt", b"x")),
    "names of code page 437": in_code_page_437,
    "zip in a zip": with_members(("inner.zip", b"PK\x05\x06" + bytes(18))),
    "files of macOS": with_members(("__MACOSX/._a.jpg", b"x"), (".DS_Store", b"x")),
    "damaged member": damaged,
}
