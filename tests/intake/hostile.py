"""Input made to hurt: all the captions, pictures and archives there are, with what must become of each.

The tables behind them, one module for each kind, make a single one by its name.
"""

from dataclasses import dataclass
from pathlib import Path

from app.intake.reasons import Reason
from tests.intake.hostile_archives import ARCHIVES_REFUSED, ARCHIVES_WITH_BAD_MEMBERS, NO_ARCHIVES
from tests.intake.hostile_captions import CAPTIONS, TOO_LONG
from tests.intake.hostile_pictures import OTHER_NAMES, PICTURES


@dataclass(frozen=True)
class HostilePicture:
    """`expected` is the reason it is refused for; None for one that is taken."""

    name: str
    file_name: str
    data: bytes
    expected: Reason | None


@dataclass(frozen=True)
class HostileArchive:
    """`refused_whole`: nothing of it may be read. Else one good post lies beside what is wrong."""

    name: str
    path: Path
    refused_whole: bool


def captions() -> dict[str, str]:
    """Name → caption. Those of TOO_LONG are refused; every other is kept as `plain_text` gives it."""
    return CAPTIONS | TOO_LONG


def pictures() -> list[HostilePicture]:
    """Each under a name that says nothing of what it is, as downloads have them."""
    return [
        HostilePicture(name, f"{number:02}{OTHER_NAMES.get(name, '.jpg')}", make(), expected)
        for number, (name, (make, expected)) in enumerate(PICTURES.items())
    ]


def archives(folder: Path) -> list[HostileArchive]:
    """Each written below `folder`, in a folder of its own."""
    made: list[HostileArchive] = []
    refused = {name: make for name, (make, _) in ARCHIVES_REFUSED.items()}
    kinds = ((refused | NO_ARCHIVES, True), (ARCHIVES_WITH_BAD_MEMBERS, False))
    for name, make, whole in ((name, make, whole) for makers, whole in kinds for name, make in makers.items()):
        place = folder / f"{len(made):02}"
        place.mkdir()
        made.append(HostileArchive(name, make(place / "posts.zip"), whole))
    return made
