"""Evaluation sets as they are published: one reader a layout, found by what a folder holds.

Readers are pure: a folder in, labelled items out. What a set should hold stands in `app.evaluation.catalogue`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from PIL import Image

from app.evaluation import catalogue
from workers.evaluation_sets import reading
from workers.evaluation_sets.layouts import READERS
from workers.evaluation_sets.reading import Folder, Found, Item, NotRecognised, Progress, Unreadable

__all__ = ["Item", "NotRecognised", "Recognised", "Unreadable", "open_picture", "recognise", "verify"]

IMPORTER_VERSION = "2"  # rises with every change that gives a folder other items
CHUNK = 256
TELLING = 10  # letters of a folder's name that only one set has; shorter ones are anyone's
MOST_CLASSES = 1_000
LONGEST = 200  # letters of a class


@dataclass
class Recognised:
    """A folder in one layout.

    `classes` are the keys in the catalogue's order. `variants` are the splits by name. `skipped` is (path or id, why)
    of every file that is no item, `unread` those of them that stand where the set has one, `missing` what labels name
    and the folder lacks, `warnings` the known traps that apply. `differences` say where counts are not those of the
    published set: evaluate only when told to go on. `templates` are a wording that the set brings.
    """

    layout: str
    importer_version: str
    root: Path
    classes: list[str]
    variants: dict[str, list[Item]]
    default_variant: str
    skipped: list[tuple[str, str]]
    unread: list[tuple[str, str]]
    missing: list[str]
    warnings: list[str]
    differences: list[str]
    templates: list[str]


def recognise(root: Path, layout: str | None = None, progress: Progress | None = None) -> Recognised:
    """Reads names and label files, and the first bytes of pictures; where labels come from masks, the masks too.

    `progress` is told (done, total) by readers that take long, and may raise to stop. Raises NotRecognised with
    what is there and what is needed, when the folder is in no layout, or not in the one asked for.
    """
    if not root.is_dir():
        raise NotRecognised("There is no such folder.")
    folder = Folder(root, progress or _untold)
    if not folder.files:
        raise NotRecognised("The folder is empty. Unpack the set into it.")
    chosen = _chosen(folder, layout)
    found = READERS[chosen].read(folder)
    if layout is None and chosen == "folders":
        found.warnings += _perhaps_meant(folder)
    if not any(found.variants.values()):
        raise NotRecognised(_nothing(folder, chosen))
    return _recognised(folder, chosen, found)


def open_picture(root: Path, layout: str, item_id: str, at_least: int | None = None) -> Image.Image:
    """The RGB picture of an item; of a JPEG at reduced size while both sides stay >= `at_least` px.

    Raises Unreadable for a path that leads out of the folder, a file that is gone or broken, and more than 100 Mpx.
    """
    reader = READERS.get(layout)
    if reader is None:
        raise Unreadable(f"No layout is called {layout}.")
    try:
        if reader.open_item:
            return reader.open_item(root, item_id)
        return reading.decode(reading.inside(root, item_id), at_least)
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # whatever is wrong with one picture is not the others' trouble
        raise Unreadable(f"it can't be read ({type(error).__name__}: {error})") from error


def verify(
    root: Path,
    recognised: Recognised,
    progress: Progress | None = None,
    *,
    start: int = 0,
    broken: dict[str, str] | None = None,
) -> Recognised:
    """Decodes each picture once in full; those that can't be are moved to `skipped` and `unread`, with why.

    Then adds the splits that need the pictures (LC25000's groups of copies). `progress` is told (done, total) about
    every 256 pictures, and may raise to stop. Counts are compared again. One that was stopped goes on behind its first
    `start` pictures, with `broken` as it was by then: ids with why, which grows before `progress` is told.
    """
    tell = progress or _untold
    ids = list(dict.fromkeys(item.id for items in recognised.variants.values() for item in items))
    broken = {} if broken is None else broken
    by_likeness = READERS[recognised.layout].by_likeness
    total = len(ids) * (2 if by_likeness else 1)  # they are looked at once more
    problem = partial(_problem, root, recognised.layout)
    with ThreadPoolExecutor(thread_name_prefix="verify") as pool:
        for done, chunk in _chunks(ids, start):
            found_out = zip(chunk, pool.map(problem, chunk), strict=True)
            broken.update({item_id: why for item_id, why in found_out if why})
            tell(done, total)
    variants = {name: [item for item in items if item.id not in broken] for name, items in recognised.variants.items()}
    if by_likeness:
        variants |= by_likeness(
            root,
            variants[recognised.default_variant],
            lambda done, _of: tell(len(ids) + done, total) if done % CHUNK == 0 else None,
        )
    return replace(
        recognised,
        variants=variants,
        skipped=recognised.skipped + sorted(broken.items()),
        unread=recognised.unread + sorted(broken.items()),
        differences=_differences(recognised.layout, recognised.classes, variants),
    )


def _chosen(folder: Folder, layout: str | None) -> str:
    if layout is not None and layout not in READERS:
        raise NotRecognised(f"No layout is called {layout}. There are {', '.join(READERS)}.")
    if layout is not None:
        if not READERS[layout].looks_like(folder):
            raise NotRecognised(_nothing(folder, layout))
        return layout
    for name, reader in READERS.items():
        if reader.looks_like(folder):
            return name
    expected = [part for reader in READERS.values() for part in reader.expected]
    raise NotRecognised(
        f"The folder is in no layout that can be read.{reading.nearest(folder.folders, expected)} Bring the pictures "
        "into <split>/<class>/, or beside a CSV with the columns image and label."
    )


def _perhaps_meant(folder: Folder) -> list[str]:
    """Says that folders taken for classes of any set may be a published one, spelt otherwise."""
    telling = [part for reader in READERS.values() for part in reader.expected if len(part) >= TELLING]
    close = reading.nearest(folder.folders, telling)
    return [f"Read as folders of any set.{close}"] if close else []


def _nothing(folder: Folder, layout: str) -> str:
    return str(reading.none_of(folder, READERS[layout].expected, catalogue.known(layout).title))


def _recognised(folder: Folder, layout: str, found: Found) -> Recognised:
    known = catalogue.known(layout)
    classes = list(known.classes) or found.classes
    if not known.of_pairs:
        _check_classes({*classes, *(item.label for items in found.variants.values() for item in items)})
    default = next(iter(found.variants))
    return Recognised(
        layout=layout,
        importer_version=IMPORTER_VERSION,
        root=folder.root,
        classes=classes,
        variants=found.variants,
        default_variant=default,
        skipped=folder.skipped,
        unread=list(dict.fromkeys(folder.unread)),
        missing=[reading.printable(name)[: reading.REASON] for name in found.missing],
        warnings=[*found.warnings, *([] if known.of_pairs else _no_test(found.variants[default])), *known.traps],
        differences=_differences(layout, classes, found.variants),
        templates=found.templates,
    )


def _check_classes(keys: set[str]) -> None:
    """Raises NotRecognised where what should be classes are texts, numbers of items, or bytes of something else."""
    if len(keys) > MOST_CLASSES:
        raise NotRecognised(
            f"There are {len(keys):,} classes; at most {MOST_CLASSES:,} are measured. Do the labels stand where they "
            "are looked for?"
        )
    for key in sorted(keys):
        if not key.strip() or not key.isprintable() or len(key) > LONGEST:
            said = reading.printable(key)[:60]
            raise NotRecognised(f"“{said}” is no name of a class: it has 1 to {LONGEST} printable letters.")


def _no_test(items: Iterable[Item]) -> list[str]:
    splits = {item.split for item in items}
    if "test" in splits:
        return []
    return ["There is no test split: zero-shot takes every picture, a linear probe needs a variant with a split."]


def _differences(layout: str, classes: list[str], variants: dict[str, list[Item]]) -> list[str]:
    """Where the counts are not the catalogue's, and classes without pictures."""
    made = []
    for name, items in variants.items():
        counts = Counter((item.split, item.label) for item in items)
        for split, of_class in catalogue.known(layout).expected.get(name, {}).items():
            for label, expected in of_class.items():
                there = _count(counts, split, label)
                if there != expected:
                    made.append(f"{name}: {there:,} pictures{_of(split, label)}, {expected:,} in the published set.")
    default = {item.label for item in next(iter(variants.values()))}
    labelled = {item.label for items in variants.values() for item in items}
    made += [f"No picture is of class {key}." for key in classes if key not in labelled]
    if len(default) == 1 and not catalogue.known(layout).of_pairs:
        made.append(f"All pictures are of one class, {next(iter(default))}: nothing can be told apart.")
    return made


def _count(counts: Counter[tuple[str, str]], split: str, label: str) -> int:
    every = catalogue.EVERY
    return sum(n for (at, of), n in counts.items() if split in (at, every) and label in (of, every))


def _of(split: str, label: str) -> str:
    where = "" if split in (catalogue.EVERY, "all") else f" in {split}"
    return where + ("" if label == catalogue.EVERY else f" of class {label}")


def _problem(root: Path, layout: str, item_id: str) -> str:
    try:
        open_picture(root, layout, item_id)
    except Unreadable as error:
        return reading.printable(str(error))[: reading.REASON]
    return ""


def _chunks(ids: list[str], start: int) -> Iterator[tuple[int, list[str]]]:
    """(How many there are up to its end, the chunk), from `start` on."""
    left, done = iter(ids[start:]), start
    while chunk := list(islice(left, CHUNK)):
        done += len(chunk)
        yield done, chunk


def _untold(done: int, total: int) -> None:
    """For who does not want to know."""
