"""Databiox: grades of breast carcinoma; the layout is not confirmed, so any folder or file name may carry the grade."""

import re

from workers.evaluation_sets.reading import Folder, Found, Item, Reader

GRADE = re.compile(r"(?:^|/)[^/]*?grade[ _-]*(iii|ii|i|[123])(?![a-z0-9])", re.IGNORECASE)
NUMBERS = {"i": "1", "ii": "2", "iii": "3"}


def looks_like(folder: Folder) -> bool:
    return len({_number(match) for name in folder.files for match in GRADE.finditer(name)}) > 1


def read(folder: Folder) -> Found:
    items = []
    for name, _ in folder.matching(GRADE):
        grades = {_number(match) for match in GRADE.finditer(name)}
        if len(grades) == 1:
            items.append(Item(name, grades.pop(), "all", name))
        else:
            folder.skip(name, "its path names several grades")
    return Found({"as published": items})


def _number(match: re.Match[str]) -> str:
    return NUMBERS.get(match[1].casefold(), match[1])


READER = Reader(("Grade I", "Grade II", "Grade III"), looks_like, read)
