"""WebDataset as CLIP_benchmark writes it: <split>/<n>.tar of pictures and .cls, nshards.txt, classnames.txt.

The tars are read by their indexes and never unpacked; members are found by name, whatever paths they claim.
"""

import re
import tarfile
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from workers.evaluation_sets import labels
from workers.evaluation_sets.folders import SPLITS
from workers.evaluation_sets.reading import (
    Folder,
    Found,
    Item,
    NotRecognised,
    Reader,
    Unreadable,
    Version,
    decode,
    inside,
    printable,
)

SHARD = re.compile(r"^(?:.*/)?([^/]+)/(\d+)\.tar$")
NAMES, TEMPLATES = "classnames.txt", "zeroshot_classification_templates.txt"
PICTURES = ("jpg", "jpeg", "png", "webp", "tif", "tiff")
MOST_BYTES = 100_000_000  # of one member
MOST_LABEL = 1_000
NO_LABEL = "it has a caption and no .cls"
LONGEST = 4_000  # letters of an item's id; a passport holds no longer ones


class Member(NamedTuple):
    """Where a member's bytes lie in its tar."""

    offset: int
    size: int


def looks_like(folder: Folder) -> bool:
    return any(_split(name) for name in folder.files)


def read(folder: Folder) -> Found:
    shards = [(name, split) for name in folder.files if (split := _split(name))]
    classes = _classes(folder)
    found = Found({"as published": []})
    for done, (name, split) in enumerate(shards, start=1):
        found.variants["as published"] += _items(folder, name, split, classes)
        folder.tell(done, len(shards))
    if not found.variants["as published"] and any(why == NO_LABEL for _, why in folder.skipped):
        raise NotRecognised(
            "The tars hold captions (.txt) and no labels (.cls): of WebDatasets, only those for classification are "
            "read. Unpack the pictures, and put them beside a CSV with the columns image and caption."
        )
    found.missing = _missing(folder)
    worded = [line.replace("{c}", "{}") for name in folder.called(TEMPLATES)[:1] for line in labels.lines(folder, name)]
    found.templates = [line for line in worded if line.count("{}") == 1 and line.isprintable()]
    found.classes = classes or sorted({item.label for item in found.variants["as published"]}, key=_numbers_first)
    if not classes:
        found.warnings.append(f"{NAMES} is not there: classes go by their numbers.")
    folder.rest({name for name, _ in shards} | {name for name in folder.files if name.endswith(".txt")})
    return found


def _classes(folder: Folder) -> list[str]:
    """The names in the order of their numbers; none where the file is not there. Raises NotRecognised for twins."""
    names = [line.strip() for file in folder.called(NAMES)[:1] for line in labels.lines(folder, file)]
    while names and not names[-1]:
        names.pop()
    if twins := [name for name, count in Counter(names).items() if count > 1]:
        raise NotRecognised(f"{NAMES} names “{twins[0]}” twice: nothing would tell the two classes apart. Rename one.")
    return names


def _items(folder: Folder, shard: str, split: str, classes: list[str]) -> list[Item]:
    path = folder.path(shard)
    try:
        members = _index(Version.of(path))
    except (tarfile.TarError, ValueError, OSError) as error:  # hostile headers get through to int() and seek()
        folder.skip(shard, f"it is no tar, or a packed one ({error})", is_item=True)
        return []
    made, samples = [], _samples(members)
    for key, parts in samples.items():
        picture = next((parts[kind] for kind in PICTURES if kind in parts), None)
        shown = printable(f"{shard}#{picture or key}")
        if picture is None:
            folder.skip(shown, "it holds no picture", is_item=True)
        elif "cls" not in parts:
            folder.skip(shown, NO_LABEL if "txt" in parts else "it has no .cls")
        elif members[parts["cls"]].size > MOST_LABEL:
            folder.skip(shown, f"its .cls has more than {MOST_LABEL:,} bytes, which no label has")
        elif shown != f"{shard}#{picture}" or len(shown) > LONGEST:
            folder.skip(shown, f"its name is no plain Unicode of at most {LONGEST:,} letters")
        elif (label := _label(_bytes(path, members[parts["cls"]]), classes)) is None:
            folder.skip(shown, f"its .cls names none of the {len(classes)} classes")
        else:
            made.append(Item(shown, label, split, shown))
    return made


def _samples(members: dict[str, Member]) -> dict[str, dict[str, str]]:
    """Key → extension → member: WebDataset's key ends at the first dot of the last part."""
    found: dict[str, dict[str, str]] = {}
    for name in members:
        parent, slash, last = name.rpartition("/")
        stem, _, kind = last.partition(".")
        found.setdefault(f"{parent}{slash}{stem}", {})[kind.casefold()] = name
    return found


def _label(cell: bytes, classes: list[str]) -> str | None:
    text = cell.decode("utf-8", "replace").strip()
    if not classes:
        return text or None
    if text in classes:
        return text
    return classes[int(text)] if text.isascii() and text.isdecimal() and int(text) < len(classes) else None


def _missing(folder: Folder) -> list[str]:
    """The shards that nshards.txt counts and that are not there."""
    found = []
    for name in folder.called("nshards.txt"):
        first = next(iter(labels.lines(folder, name)), "").strip()
        if not (first.isascii() and first.isdecimal() and int(first) < 1_000_000):
            raise NotRecognised(f"{name} holds no number of shards.")
        shards = (f"{name.rpartition('/')[0]}/{number}.tar".removeprefix("/") for number in range(int(first)))
        there = set(folder.files)
        found += [shard for shard in shards if shard not in there]
    return found


def _split(name: str) -> str | None:
    match = SHARD.match(name)
    return SPLITS.get(match[1].casefold()) if match else None


@lru_cache(maxsize=64)
def _index(shard: Version) -> dict[str, Member]:
    with tarfile.open(shard.path, "r:") as tar:
        return {one.name: Member(one.offset_data, one.size) for one in tar if one.isreg() and not one.issparse()}


def _bytes(path: Path, member: Member) -> bytes:
    if not 0 <= member.size <= MOST_BYTES:
        raise Unreadable(f"it has {member.size:,} bytes; at most {MOST_BYTES:,} are read")
    with path.open("rb") as file:
        file.seek(member.offset)
        return file.read(member.size)


def _numbers_first(label: str) -> tuple[bool, int, str]:
    number = label.isascii() and label.isdecimal()
    return not number, int(label) if number else 0, label


def open_item(root: Path, item_id: str) -> Image.Image:
    shard, _, name = item_id.partition(".tar#")
    path = inside(root, f"{shard}.tar")
    member = _index(Version.of(path)).get(name)
    if member is None:
        raise Unreadable(f"{shard}.tar has no {name}")
    return decode(_bytes(path, member))


READER = Reader(("test/0.tar", NAMES), looks_like, read, open_item)
