"""Kinds of private details, and what is done about each. Nothing here asks the database.

The kinds are those of HIPAA's Safe Harbor (45 CFR 164.514(b)(2)) that a caption or a picture can show, and the
poster's own handle, which is attribution: nothing is done about it unless an admin says so.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum


class Action(StrEnum):
    """What a stage does about a kind it found: nothing, say so, propose to take it out, hold it for an admin."""

    PASS = "pass"  # noqa: S105
    WARN = "warn"
    REDACT = "redact"
    HOLD = "hold"


TAKEN_OUT = (Action.REDACT, Action.HOLD)  # what was held is still there when an admin lets it go
DOES = {
    Action.PASS: "Nothing",
    Action.WARN: "Say so",
    Action.REDACT: "Propose to take it out",
    Action.HOLD: "Hold for an admin",
}


class PrivateKind(StrEnum):
    NAME = "name"
    DATE = "date"
    AGE = "age"
    RECORD_NUMBER = "record_number"
    PHONE = "phone"
    EMAIL = "email"
    HANDLE = "handle"
    OWN_HANDLE = "own_handle"
    PLACE = "place"
    LINK = "link"
    FACE = "face"
    WRITING = "writing"


TITLES = {
    PrivateKind.NAME: "Names",
    PrivateKind.DATE: "Dates finer than a year",
    PrivateKind.AGE: "Ages over 89",
    PrivateKind.RECORD_NUMBER: "Record and case numbers",
    PrivateKind.PHONE: "Phone and fax numbers",
    PrivateKind.EMAIL: "E-mail addresses",
    PrivateKind.HANDLE: "Handles",
    PrivateKind.OWN_HANDLE: "The poster’s own handle",
    PrivateKind.PLACE: "Places smaller than a state",
    PrivateKind.LINK: "Links",
    PrivateKind.FACE: "Faces",
    PrivateKind.WRITING: "Other writing",
}
ONE = {
    PrivateKind.NAME: "name",
    PrivateKind.DATE: "date",
    PrivateKind.AGE: "age over 89",
    PrivateKind.RECORD_NUMBER: "record number",
    PrivateKind.PHONE: "phone number",
    PrivateKind.EMAIL: "e-mail address",
    PrivateKind.HANDLE: "handle",
    PrivateKind.OWN_HANDLE: "own handle",
    PrivateKind.PLACE: "place",
    PrivateKind.LINK: "link",
    PrivateKind.FACE: "face",
    PrivateKind.WRITING: "line of writing",
}
OF_PICTURE = (PrivateKind.FACE, PrivateKind.WRITING)
OF_TEXT = tuple(kind for kind in PrivateKind if kind not in (PrivateKind.OWN_HANDLE, *OF_PICTURE))
OF_STAGE = {
    "faces": (PrivateKind.FACE,),
    "writing": (*OF_TEXT, PrivateKind.WRITING),
    "private": (*OF_TEXT, PrivateKind.OWN_HANDLE),
}


def strongest(kinds: Iterable[str], actions: Mapping[str, str]) -> Action:
    """The most that is done about any of the kinds that were found."""
    order = list(Action)
    done = (Action(actions.get(kind, Action.PASS)) for kind in kinds)
    return max(done, key=order.index, default=Action.PASS)


def doing(actions: Mapping[str, str], *wanted: Action) -> list[str]:
    """The kinds about which one of these is done."""
    return [kind for kind, action in actions.items() if action in wanted]


def counted(kinds: Mapping[str, int]) -> str:
    """What was found, in words: 2 faces, 1 record number."""
    return ", ".join(f"{count} {_many(ONE[PrivateKind(kind)], count)}" for kind, count in kinds.items())


def _many(words: str, count: int) -> str:
    if count == 1:
        return words
    first, _, rest = words.partition(" of ")
    first = f"{first}es" if first.endswith("ss") else f"{first}s"
    return f"{first} of {rest}" if rest else first.replace("age over 89s", "ages over 89")
