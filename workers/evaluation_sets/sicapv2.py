"""SICAPv2: prostate patches, labelled by the largest of NC, G3, G4 and G5 in the authors' partition workbooks."""

from collections.abc import Mapping

from workers.evaluation_sets import labels
from workers.evaluation_sets.reading import Folder, Found, NotRecognised, Reader

GRADES = ("NC", "G3", "G4", "G5")
TEST, VALIDATION = "partition/Test", "partition/Validation/Val1"


def looks_like(folder: Folder) -> bool:
    return "partition" in folder.folders and bool(folder.called("Test.xlsx"))


def read(folder: Folder) -> Found:
    patients = _patients(folder)
    books = [name for name in folder.files if name.casefold().endswith(".xlsx")]
    published = _listed(folder, TEST, {"Train": "train", "Test": "test"}, patients)
    found = Found({"as published": list(published.items.values())}, missing=published.missing)
    used = set(published.items)
    if any(name.casefold().endswith(f"{VALIDATION}/Train.xlsx".casefold()) for name in books):
        inner = _listed(folder, VALIDATION, {"Train": "train", "Test": "val"}, patients)
        test = {name: item for name, item in published.items.items() if item.split == "test"}
        found.variants["with validation"] = list((inner.items | test).values())
        found.missing = list(dict.fromkeys(found.missing + inner.missing))
        used |= set(inner.items)
    folder.skipped[:] = dict.fromkeys(folder.skipped)  # a picture in both partitions is skipped twice
    folder.rest({*used, *books, *(name for name, _ in folder.skipped)})
    return found


def _listed(folder: Folder, place: str, splits: dict[str, str], patients: dict[str, str]) -> labels.Listed:
    listed = labels.Listed(folder)
    for book, split in splits.items():
        for row in labels.rows(folder, _book(folder, f"{place}/{book}.xlsx"), ("image_name", *GRADES)):
            add_graded(listed, row, "images", split, f"{book}.xlsx", patients)
    return listed


def add_graded(
    listed: labels.Listed, row: labels.Row, place: str, split: str, book: str, patients: Mapping[str, str] | None = None
) -> None:
    """A row of a `book` of grades, whose picture lies in the folder `place`; slides count as patients if need be."""
    named = row["image_name"]
    file = listed.folder.named(f"{place}/{named}") or listed.folder.named(f"{place}/{named}.jpg")
    slide = named.partition("_Block")[0]
    listed.add(named, file, _label(row), split, f"no grade in {book}", (patients or {}).get(slide, slide))


def _label(row: labels.Row) -> str | None:
    """The largest grade, the first of equals; None where all are 0 or no numbers."""
    try:
        shares = {grade: float(row[grade.casefold()] or 0) for grade in GRADES}
    except ValueError:
        return None
    best = max(GRADES, key=lambda grade: shares[grade])
    return best if shares[best] > 0 else None


def _book(folder: Folder, wanted: str) -> str:
    for name in folder.files:
        if name.casefold().endswith(wanted.casefold()):
            return name
    raise NotRecognised(f"{wanted} is not there. The labels of SICAPv2 stand in it.")


def _patients(folder: Folder) -> dict[str, str]:
    """Slide → patient, where the slide table is there."""
    books = folder.called("wsi_labels.xlsx")
    if not books:
        return {}
    try:
        return {row["slide_id"]: row["patient_id"] for row in labels.rows(folder, books[0], ("slide_id", "patient_id"))}
    except NotRecognised as error:
        folder.skip(books[0], f"slides count as patients: {error}")
        return {}


READER = Reader(("partition", "images"), looks_like, read)
