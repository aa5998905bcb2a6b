"""Databiox: grades of breast carcinoma; the layout is not confirmed, so any folder or file name may carry the grade."""

import re

from workers.evaluation_sets.reading import Folder, Found, Item, Reader

GRADE = re.compile(r"(?:^|/)[^/]*?grade[ _-]*(iii|ii|i|[123])(?![a-z0-9])", re.IGNORECASE)
TIMES = re.compile(r"(?<![a-z0-9])(4|10|20|40)x(?![a-z0-9])", re.IGNORECASE)
NUMBERS = {"i": "1", "ii": "2", "iii": "3"}


def looks_like(folder: Folder) -> bool:
    return len({_number(match) for name in folder.files for match in GRADE.finditer(name)}) > 1


def read(folder: Folder) -> Found:
    items, by_times = [], {f"{times}×": list[Item]() for times in (4, 10, 20, 40)}
    for name, _ in folder.matching(GRADE):
        grades = {_number(match) for match in GRADE.finditer(name)}
        if len(grades) > 1:
            folder.skip(name, "its path names several grades")
            continue
        item = Item(name, grades.pop(), "all", name)
        items.append(item)
        if len(times := set(TIMES.findall(name))) == 1:
            by_times[f"{times.pop()}×"].append(item)
    untold = len(items) - sum(map(len, by_times.values()))
    warnings = [f"{untold:,} of the {len(items):,} pictures name no magnification, or several."] if untold else []
    variants = {name: some for name, some in by_times.items() if some}
    return Found({"as published": items} | variants, warnings=warnings)


def _number(match: re.Match[str]) -> str:
    return NUMBERS.get(match[1].casefold(), match[1])


READER = Reader(("Grade I", "Grade II", "Grade III"), looks_like, read)
