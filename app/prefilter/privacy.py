"""Kinds of private details, and what is done about each. Nothing here asks the database.

The kinds are those of HIPAA's Safe Harbor (45 CFR 164.514(b)(2)) that a caption or a picture can show.
"""

from enum import StrEnum


class Action(StrEnum):
    """What a stage does about a kind it found: nothing, say so, propose to take it out, hold it for an admin."""

    PASS = "pass"  # noqa: S105
    WARN = "warn"
    REDACT = "redact"
    HOLD = "hold"


class PrivateKind(StrEnum):
    NAME = "name"
    DATE = "date"
    AGE = "age"
    RECORD_NUMBER = "record_number"
    PHONE = "phone"
    EMAIL = "email"
    HANDLE = "handle"
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
    PrivateKind.PLACE: "Places smaller than a state",
    PrivateKind.LINK: "Links",
    PrivateKind.FACE: "Faces",
    PrivateKind.WRITING: "Other writing",
}
OF_TEXT = tuple(kind for kind in PrivateKind if kind not in (PrivateKind.FACE, PrivateKind.WRITING))
OF_STAGE = {"faces": (PrivateKind.FACE,), "writing": (*OF_TEXT, PrivateKind.WRITING), "private": OF_TEXT}
