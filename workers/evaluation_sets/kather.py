"""Kather's colon tissues: NCT-CRC-HE-100K (also -NONORM) to train on, CRC-VAL-HE-7K to test on (Zenodo 1214456)."""

import re

from workers.evaluation_sets.reading import Folder, Found, Item, Reader

CLASSES = ("ADI", "BACK", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM")
TRAIN, NOT_NORMALISED, TEST = "NCT-CRC-HE-100K", "NCT-CRC-HE-100K-NONORM", "CRC-VAL-HE-7K"
PLACE = re.compile(rf"(?:(?:^|/)({TRAIN}|{NOT_NORMALISED}|{TEST})/|^)({'|'.join(CLASSES)})/[^/]+$")
OF_TEST = re.compile(r"-TCGA-[^/]*$")  # test pictures are of TCGA and say so in their names


def looks_like(folder: Folder) -> bool:
    return bool({TRAIN, NOT_NORMALISED, TEST} & folder.folders) or len(set(CLASSES) & _top(folder)) > 1


def read(folder: Folder) -> Found:
    places: dict[str, list[Item]] = {TRAIN: [], NOT_NORMALISED: [], TEST: []}
    for name, match in folder.matching(PLACE, (TRAIN, NOT_NORMALISED, TEST, *CLASSES)):
        place = match[1] or (TEST if OF_TEST.search(name) else TRAIN)
        places[place].append(Item(name, match[2], "test" if place == TEST else "train", name))
    published = places[TRAIN] + places[TEST]
    variants = {"as published": published, "eight classes": [item for item in published if item.label != "BACK"]}
    before = {"not normalised": places[NOT_NORMALISED] + places[TEST]} if places[NOT_NORMALISED] else {}
    return Found(before if before and not places[TRAIN] else variants | before)


def _top(folder: Folder) -> set[str]:
    return {name.partition("/")[0] for name in folder.files}


READER = Reader((TRAIN, TEST), looks_like, read)
