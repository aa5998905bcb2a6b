"""SICAP_MIL, SICAPv2's sister: patches/ of whole slides, of which those of the test slides are labelled one by one."""

from workers.evaluation_sets import labels
from workers.evaluation_sets.reading import Folder, Found, Reader
from workers.evaluation_sets.sicapv2 import GRADES, add_graded

BOOK = "gt_test_patches.xlsx"


def looks_like(folder: Folder) -> bool:
    return bool(folder.called(BOOK))


def read(folder: Folder) -> Found:
    book = folder.called(BOOK)[0]
    listed = labels.Listed(folder)
    for row in labels.rows(folder, book, ("image_name", *GRADES)):
        add_graded(listed, row, "patches", "test", BOOK)
    books = [name for name in folder.files if name.casefold().endswith(".xlsx")]
    return Found({"as published": listed.found(*books)}, missing=listed.missing)


READER = Reader((BOOK, "patches"), looks_like, read)
