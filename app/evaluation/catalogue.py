"""What is known of the published evaluation sets, and the words that stand for their classes: data, read from JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
EVERY = "*"  # as a split: all of them together; as a class: all of them together
OWN = "ipath"


@dataclass(frozen=True)
class Variant:
    """One way to split a set. `leak_safe` is whether no patient, slide or original is on both sides; None: unknown."""

    name: str
    leak_safe: bool | None
    note: str


@dataclass(frozen=True)
class KnownSet:
    """A published set, or one of the generic layouts (which know no classes).

    `of_pairs` sets have captions and no classes: they are pools for retrieval. `classes` are key → words in the order
    of pages and matrices, grades (`ordered`) from the mildest on, last those that only some variant has. `expected` is
    variant → split → class → pictures, with "*" for all splits and all classes together; what is not published is
    left out. `forbids` is empty where the licence forbids nothing that this product does.
    """

    layout: str
    title: str
    about: str
    of_paper: bool
    of_pairs: bool
    classes: dict[str, str]
    expected: dict[str, dict[str, dict[str, int]]]
    ordered: bool
    licence: str
    forbids: str
    source: str
    traps: tuple[str, ...]
    variants: tuple[Variant, ...]

    def variant(self, name: str) -> Variant:
        """What is known of one of its splits; of one that a folder brings itself, only its name."""
        return next((one for one in self.variants if one.name == name), Variant(name, None, ""))


@dataclass(frozen=True)
class Wording:
    """The prompts of one set: `templates` with one {} each, and every class key's names, best known first.

    `version` rises with every change to the data; `source` says whose protocol it is and what of it is ours.
    """

    preset: str
    title: str
    version: int
    source: str
    templates: tuple[str, ...]
    names: dict[str, tuple[str, ...]]


@cache
def sets() -> dict[str, KnownSet]:
    """Every layout that can be read, those of the paper's kin first, the generic ones last."""
    return {layout: _known(layout, _read(f"sets/{layout}.json")) for layout in _read("order.json")}


def known(layout: str) -> KnownSet:
    """Raises KeyError for a layout that can't be read."""
    return sets()[layout]


def marks(layout: str, report: Mapping[str, Any], variant: str) -> tuple[str, ...]:
    """What forbids to set the figures of a set's variant beside published ones; `report` is that of the set."""
    leaks = known(layout).variant(variant).leak_safe is False
    return (*(("not as published",) if report.get("differences") else ()), *(("leaks",) if leaks else ()))


def leak_safe(layout: str, report: Mapping[str, Any]) -> list[Variant]:
    """The variants of a set that was read whose sides share no patient, slide or original."""
    return [one for one in known(layout).variants if one.leak_safe and one.name in report["variants"]]


def wordings(layout: str, classes: tuple[str, ...] = ()) -> dict[str, Wording]:
    """The presets for a set by name, our own first and always there; of a protocol only those that name its classes.

    `classes` are the keys of a generic set: their own names then stand for them.
    """
    made = {}
    for preset in _presets():
        names = preset["names"].get(layout)
        if names is None and preset["preset"] == OWN:
            names = {key: [words] for key, words in known(layout).classes.items()}
            names = names or {key: [_worded(key)] for key in classes}
        if names:
            made[preset["preset"]] = Wording(
                preset=preset["preset"],
                title=preset["title"],
                version=preset["version"],
                source=preset["source"],
                templates=tuple(preset["templates_of"].get(layout, preset["templates"])),
                names={key: tuple(some) for key, some in names.items()},
            )
    return made


def _known(layout: str, data: dict[str, Any]) -> KnownSet:
    return KnownSet(
        layout=layout,
        title=data["title"],
        about=data["about"],
        of_paper=data["of_paper"],
        of_pairs=data["of_pairs"],
        classes=data["classes"],
        expected=data["expected"],
        ordered=data["ordered"],
        licence=data["licence"],
        forbids=data["forbids"],
        source=data["source"],
        traps=tuple(data["traps"]),
        variants=tuple(Variant(**variant) for variant in data["variants"]),
    )


@cache
def _presets() -> list[dict[str, Any]]:
    return [_read(f"prompts/{name}.json") for name in (OWN, "plip", "quilt", "conch", "histo_transclip", "bare")]


def _worded(key: str) -> str:
    """A folder's name as words."""
    return " ".join(key.replace("_", " ").replace("-", " ").split()) or key


def _read(name: str) -> Any:
    return json.loads((DATA / name).read_text(encoding="utf-8"))
