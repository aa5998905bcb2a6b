"""Forms of the duplicates' pages."""

import re
from typing import Annotated, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, Field

Kind = Literal["look", "exact", "perceptual", "semantic"]
RowNumber = Annotated[int, Field(ge=1, le=2**63 - 1)]


def no_number(value: object) -> object:
    return None if value == "" else value


class ListForm(BaseModel):
    """Which groups are listed, and before which of them."""

    kind: Kind = "look"
    before: Annotated[RowNumber | None, BeforeValidator(no_number)] = None

    def query(self, before: int | None = None) -> str:
        values = {"kind": self.kind, "before": before or self.before}
        return urlencode({name: value for name, value in values.items() if value})


class EditForm(BaseModel):
    """An edit of a group as the page showed it. `kind` and `before` say from which list it was sent, if from one."""

    version: str
    kind: Kind | Literal[""] = ""
    before: Annotated[RowNumber | None, BeforeValidator(no_number)] = None


class SplitForm(EditForm):
    apart: list[RowNumber] = []


class KeepForm(EditForm):
    candidate: RowNumber


class Target(BaseModel):
    """A group's number, or a candidate's."""

    is_group: bool
    number: RowNumber


def target(value: object) -> object:
    found = re.fullmatch(r"\s*(?:(g)-?|c-?)?0*(\d{1,18})\s*", str(value), re.IGNORECASE | re.ASCII)
    if not found or not int(found[2]):
        raise ValueError("Type a candidate's number, such as C-20415, or a group's, such as G-12.")
    return {"is_group": bool(found[1]), "number": int(found[2])}


class MergeForm(EditForm):
    other: Annotated[Target, BeforeValidator(target)]
