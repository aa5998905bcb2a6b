"""The form that makes a snapshot."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

Pairs = Annotated[int, Field(ge=0, le=1_000_000)]


class SnapshotForm(BaseModel):
    val: Pairs
    test: Pairs
    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = ""
