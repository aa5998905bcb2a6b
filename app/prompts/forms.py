"""Forms of the pages about prompts."""

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from app.prompts.actions import Changes
from app.prompts.policies import MIN_SUPPORT, Mode

Id = Annotated[int, Field(ge=1, le=2**62)]


def _percent(value: Any) -> float:
    try:
        number = float(str(value).strip().removesuffix("%"))
    except ValueError:
        number = -1.0
    if not 0 <= number <= 100:
        raise ValueError("Use a share from 0 to 100 %.")
    return number / 100


def _amount(value: Any) -> float | None:
    text = str(value).strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < 1e12:
        raise ValueError("Use a number above 0, or leave it empty for no limit.")
    return number


def _whole(value: Any) -> int | None:
    number = _amount(str(value).replace(",", ""))
    return None if number is None else math.ceil(number)


class PromptForm(BaseModel):
    text: str = ""
    note: Annotated[str, Field(max_length=200)] = ""


class TryForm(BaseModel):
    endpoint: Id
    with_picture: bool = False


class UseForm(BaseModel):
    endpoint: Id


class CompareForm(BaseModel):
    prompt_1: Id
    endpoint_1: Id
    picture_1: bool = False
    prompt_2: Id
    endpoint_2: Id
    picture_2: bool = False
    count: int = Field(50, ge=1, le=1000)

    def sides(self) -> list[tuple[int, int, bool]]:
        return [
            (self.prompt_1, self.endpoint_1, self.picture_1),
            (self.prompt_2, self.endpoint_2, self.picture_2),
        ]


class SettingForm(BaseModel):
    """`min_support` in percent; a budget's parts are empty for no limit."""

    mode: Mode = Mode.FILTER
    required: bool = False
    with_picture: bool = False
    min_support: Annotated[float, BeforeValidator(_percent)] = MIN_SUPPORT
    cost: Annotated[float | None, BeforeValidator(_amount)] = None
    tokens: Annotated[int | None, BeforeValidator(_whole)] = None

    def changes(self) -> Changes:
        return Changes(**self.model_dump())
