"""The filters of the activity page."""

from datetime import date
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import BaseModel, Field, StringConstraints, field_validator

from app.operations.events import EventFilter
from app.operations.sentences import GROUPS, subject_of

Short = Annotated[str, StringConstraints(strip_whitespace=True, max_length=100)]


class ActivityForm(BaseModel):
    q: Short = ""
    who: Annotated[str, StringConstraints(pattern=r"^(system|\d{1,18})?$")] = ""
    what: str = ""
    day: date | None = Field(None, le=date(9998, 12, 31))  # a day needs one after it
    before: int | None = Field(None, ge=1, le=2**62)

    @field_validator("day", "before", mode="before")
    @classmethod
    def empty_is_none(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("q")
    @classmethod
    def names_something(cls, value: str) -> str:
        if value and subject_of(value) is None:
            raise ValueError("Type what it is about: C-20418, import 42, job 7, v0007 or a stage.")
        return value

    @field_validator("what")
    @classmethod
    def known_kind(cls, value: str) -> str:
        if value and value not in GROUPS:
            raise ValueError("Choose a kind of the list.")
        return value

    @property
    def is_filtered(self) -> bool:
        return bool(self.q or self.who or self.what or self.day)

    def filter(self) -> EventFilter:
        subject = subject_of(self.q) if self.q else None
        return EventFilter(who=self.who, group=self.what, subject=subject, day=self.day, before=self.before)

    def query(self, **changes: Any) -> str:
        """The page's address after the `?`, with some values changed."""
        wanted = self.model_copy(update=changes).model_dump(mode="json", exclude_defaults=True, exclude_none=True)
        return urlencode(wanted)
