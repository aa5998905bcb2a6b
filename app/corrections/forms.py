"""Which corrections to show."""

from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import BaseModel, Field, StringConstraints, field_validator

from app.corrections.queries import KINDS, Cell
from app.corrections.rates import Outcome

Short = Annotated[str, StringConstraints(max_length=200)]


class CellForm(BaseModel):
    """A cell of the page, as a link carries it. `language` says which only where it is asked, as it may be empty."""

    kind: str = "captions"
    maker: Short = ""
    source: Annotated[str, StringConstraints(pattern="^[0-9]{0,18}$")] = ""
    language: Short | None = None
    field: Short = ""
    outcome: list[Outcome] = Field(default_factory=list, max_length=8)
    before: int | None = Field(None, ge=1, le=2**62)

    @field_validator("kind")
    @classmethod
    def known(cls, value: str) -> str:
        if value not in KINDS:
            raise ValueError("Choose captions or fields.")
        return value

    def cell(self) -> Cell:
        return Cell(self.kind, self.maker, self.source, self.language, self.field, tuple(self.outcome))

    def query(self, **changes: Any) -> str:
        """The list's address after the `?`."""
        values = {**dict(self), **changes}
        defaults = dict(CellForm())
        return urlencode({name: value for name, value in values.items() if value != defaults[name]}, doseq=True)
