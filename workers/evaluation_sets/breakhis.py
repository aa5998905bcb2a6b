"""BreakHis: breast tumours, SOB_B_TA-14-4659/40X/SOB_B_TA-14-4659-40-001.png below benign and malignant."""

import re

from workers.evaluation_sets import splits
from workers.evaluation_sets.reading import Folder, Found, Item, Reader

TYPES = {
    "A": "adenosis",
    "F": "fibroadenoma",
    "PT": "phyllodes_tumor",
    "TA": "tubular_adenoma",
    "DC": "ductal_carcinoma",
    "LC": "lobular_carcinoma",
    "MC": "mucinous_carcinoma",
    "PC": "papillary_carcinoma",
}
PLACE = re.compile(r"(?:^|/)SOB_[BM]_([A-Z]+)-\d+-(\d+)[A-Z]*-(40|100|200|400)-[^/]+$")


def looks_like(folder: Folder) -> bool:
    return {"benign", "malignant"} <= folder.folders and any(PLACE.search(name) for name in folder.files)


def read(folder: Folder) -> Found:
    every, lowest = [], []
    for name, match in folder.matching(PLACE, ("benign", "malignant", *TYPES.values())):
        if match[1] not in TYPES:
            folder.skip(name, f"no tumour is called {match[1]}")
            continue
        item = Item(name, TYPES[match[1]], "all", match[2])
        every.append(item)
        if match[3] == "40":
            lowest.append(item)
    variants = {"as published": lowest, "leak-safe": splits.by_group(lowest), "all magnifications": every}
    return Found(variants if lowest else {"all magnifications": every})


READER = Reader(("benign", "malignant"), looks_like, read)
