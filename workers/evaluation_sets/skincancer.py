"""SkinCancer (heiDATA 7QCR8S): tiles named by data/tiles-v2.csv; class_int is not used, its order is not trusted."""

from workers.evaluation_sets import labels
from workers.evaluation_sets.reading import Folder, Found, Reader

LABELS = "tiles-v2.csv"
SPLITS = {"train": "train", "validation": "val", "test": "test"}
TUMOURS = "tumor_skin_"
CLASSES = (
    *(
        f"nontumor_skin_{name}"
        for name in (
            "necrosis_necrosis",
            "muscle_skeletal",
            "sweatglands_sweatglands",
            "vessel_vessel",
            "elastosis_elastosis",
            "chondraltissue_chondraltissue",
            "hairfollicle_hairfollicle",
            "epidermis_epidermis",
            "nerves_nerves",
            "subcutis_subcutis",
            "dermis_dermis",
            "sebaceousglands_sebaceousglands",
        )
    ),
    *(f"{TUMOURS}{name}" for name in ("epithelial_sqcc", "melanoma_melanoma", "epithelial_bcc", "naevus_naevus")),
)


def looks_like(folder: Folder) -> bool:
    return bool(folder.called(LABELS))


def read(folder: Folder) -> Found:
    table = folder.called(LABELS)[0]
    listed = labels.Listed(folder)
    for row in labels.rows(folder, table, ("file", "class", "set")):
        label = row["class"] if row["class"] in CLASSES else None
        split = SPLITS.get(row["set"].casefold())
        listed.add(row["file"], folder.named(row["file"]), label, split, f"{row['class']}, {row['set']}")
    every = listed.found(table, *folder.called("class_dict.json"))
    variants = {"as published": every}
    if tumours := [item for item in every if item.label.startswith(TUMOURS)]:
        variants["SkinTumor"] = tumours
    return Found(variants, missing=listed.missing)


READER = Reader((LABELS, "tiles"), looks_like, read)
