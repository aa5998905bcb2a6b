"""BreakHis: breast tumours, SOB_B_TA-14-4659/40X/SOB_B_TA-14-4659-40-001.png below benign and malignant."""

import re
from collections.abc import Sequence
from dataclasses import replace

from workers.evaluation_sets import splits
from workers.evaluation_sets.reading import Folder, Found, Item, Reader

BENIGN = {"A": "adenosis", "F": "fibroadenoma", "PT": "phyllodes_tumor", "TA": "tubular_adenoma"}
MALIGNANT = {
    "DC": "ductal_carcinoma",
    "LC": "lobular_carcinoma",
    "MC": "mucinous_carcinoma",
    "PC": "papillary_carcinoma",
}
TYPES = BENIGN | MALIGNANT
# What kaiko-ai/eva (breakhis.py) takes: its four types, and the slides of its val split.
FOUR = (TYPES["TA"], TYPES["MC"], TYPES["F"], TYPES["DC"])
TESTED = frozenset(
    "2773 3909 5287 5695 15275 15792 16184CD 16716 16875 18842D 19979 21998CD 21998EF 23060CD".split()  # noqa: SIM905
)
PLACE = re.compile(
    r"(?:^|/)SOB_[BM]_(?P<type>[A-Z]+)-\d+-(?P<slide>(?P<patient>\d+)[A-Z]*)-(?P<times>40|100|200|400)-[^/]+$"
)


def looks_like(folder: Folder) -> bool:
    return {"benign", "malignant"} <= folder.folders and any(PLACE.search(name) for name in folder.files)


def read(folder: Folder) -> Found:
    every, lowest, tested = [], [], set()
    for name, match in folder.matching(PLACE, ("benign", "malignant", *TYPES.values())):
        if match["type"] not in TYPES:
            folder.skip(name, f"no tumour is called {match['type']}")
            continue
        item = Item(name, TYPES[match["type"]], "all", match["patient"])
        every.append(item)
        if match["times"] == "40":
            lowest.append(item)
        if match["slide"] in TESTED:
            tested.add(name)
    two = [replace(item, label=_side(item.label)) for item in every]
    variants = {"all magnifications": every, "two classes": two, "leak-safe, two classes": splits.by_group(two)}
    return Found(_at_40(lowest, tested) | variants if lowest else variants)


def _at_40(items: Sequence[Item], tested: set[str]) -> dict[str, list[Item]]:
    four = [item for item in items if item.label in FOUR]
    by_eva = [replace(item, split="test" if item.id in tested else "train") for item in four]
    return {
        "as published": list(items),
        "leak-safe": splits.by_group(items),
        "four classes": by_eva,
        "leak-safe, four classes": splits.by_group(four),
    }


def _side(label: str) -> str:
    return "benign" if label in BENIGN.values() else "malignant"


READER = Reader(("benign", "malignant"), looks_like, read)
