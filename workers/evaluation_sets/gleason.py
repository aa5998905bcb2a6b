"""Gleason microarrays (Arvaniti et al. 2018): the class stands in the name, the split in array and folder."""

import re

from workers.evaluation_sets.reading import Folder, Found, Item, Reader

PLACE = re.compile(r"(?:^|/)([^/]*?)_patch_\d+_class_([0-3])\.[^/.]+$")
VALIDATION = "ZT76"
TRAIN, TEST = "train_validation_patches_750", "test_patches_750"
SECOND = "patho_2"


def looks_like(folder: Folder) -> bool:
    return any(PLACE.search(name) for name in folder.files)


def read(folder: Folder) -> Found:
    learnt, first, second = [], [], []
    for name, match in folder.matching(PLACE, (TRAIN, TEST)):
        item = Item(name, match[2], _split(name, match[1]), match[1])
        if item.split != "test":
            learnt.append(item)
        elif SECOND in name.split("/"):
            second.append(item)
        else:
            first.append(item)
    variants = {"as published": learnt + first}
    if second:
        variants["second pathologist"] = learnt + second
    return Found(variants)


def _split(name: str, core: str) -> str:
    if TEST in name.split("/"):
        return "test"
    return "val" if core.partition("_")[0] == VALIDATION else "train"


READER = Reader((TRAIN, TEST), looks_like, read)
