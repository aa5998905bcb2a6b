"""Forms of the pre-filter's pages."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, field_validator

from app.prefilter.limits import Limits
from app.prefilter.privacy import OF_STAGE, Action

LARGEST = 10_000  # px


def share(value: Any) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise ValueError("Type a number from 0 to 1, such as 0.35.")
    if round(number, 2) != number:
        raise ValueError("Use hundredths, such as 0.35.")
    return number


Threshold = Annotated[float, BeforeValidator(share)]


def pixels(value: Any) -> int:
    text = str(value)
    if not text.isdecimal() or len(text) > len(str(LARGEST)) or int(text) > LARGEST:
        raise ValueError(f"Type whole pixels from 0 to {LARGEST}, such as 150.")
    return int(text)


def times(value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 1 <= number <= 100:
        raise ValueError("Type a number from 1 to 100, such as 2, or nothing.")
    return number


Pixels = Annotated[int, BeforeValidator(pixels)]
Times = Annotated[float | None, BeforeValidator(times)]


class PreviewForm(BaseModel):
    """What a stage would do at a threshold; the quality stage also with other limits of size and shape."""

    threshold: Threshold | None = None
    shorter_side: Pixels | None = None
    aspect: Times = None

    @property
    def limits(self) -> Limits | None:
        return None if self.shorter_side is None else Limits(self.shorter_side, self.aspect)


class ThresholdForm(BaseModel):
    """`expected` is the threshold that the page showed as the one in use."""

    threshold: Threshold
    expected: float | None = None


class LimitsForm(BaseModel):
    """The `seen_` ones are those that the page showed as in use."""

    shorter_side: Pixels
    aspect: Times = None
    seen_shorter_side: Pixels = 0
    seen_aspect: Times = None

    @property
    def wanted(self) -> Limits:
        return Limits(self.shorter_side, self.aspect)

    @property
    def seen(self) -> Limits:
        return Limits(self.seen_shorter_side, self.seen_aspect)


class FunnelForm(BaseModel):
    """Whose candidates the funnel counts; none: everyone's."""

    source: int | None = Field(None, ge=1, le=2**62)
    import_id: int | None = Field(None, ge=1, le=2**62)

    @field_validator("source", "import_id", mode="before")
    @classmethod
    def empty_is_none(cls, value: Any) -> Any:
        return None if value == "" else value


class AuditForm(BaseModel):
    """The share of what is filtered out that is audited, and the bound of good pairs lost, in percent."""

    share: float = Field(ge=0, le=100)
    bound: float = Field(gt=0, lt=100)


class OrderForm(BaseModel):
    order: str


class PrivacyForm(BaseModel):
    """What each kind of private detail does, as `stage.kind.action`; `seen` is the version that the page showed."""

    done: list[str] = Field(default_factory=list, max_length=40)
    seen: str = ""

    @field_validator("done")
    @classmethod
    def known(cls, values: list[str]) -> list[str]:
        for value in values:
            stage, kind, action = [*value.split("."), "", ""][:3]
            if kind not in OF_STAGE.get(stage, ()) or action not in set(Action):
                raise ValueError("Choose what is done from the list.")
        return values

    def actions(self) -> dict[str, dict[str, str]]:
        """Stage → kind → action, for what was sent."""
        made: dict[str, dict[str, str]] = {}
        for stage, kind, action in (value.split(".") for value in self.done):
            made.setdefault(stage, {})[kind] = action
        return made


class HeldListForm(BaseModel):
    """Those that a stage holds (any, when empty), beyond the candidate `after`."""

    stage: str = ""
    after: int = Field(0, ge=0, le=2**62)

    @field_validator("stage")
    @classmethod
    def known_stage(cls, value: str) -> str:
        if value and value not in OF_STAGE:
            raise ValueError("Choose a stage of the list.")
        return value


class HeldForm(HeldListForm):
    """The ticked candidates, or the `only` one whose own button was pressed; `page` brings back to its page."""

    candidate: list[int] = Field(default_factory=list, max_length=200)
    only: int | None = Field(None, ge=1, le=2**62)
    reason: str = ""
    page: bool = False

    @field_validator("candidate")
    @classmethod
    def numbers_of_rows(cls, values: list[int]) -> list[int]:
        if not all(1 <= value <= 2**62 for value in values):
            raise ValueError("Choose candidates of the list.")
        return values

    @property
    def chosen(self) -> list[int]:
        return [self.only] if self.only else self.candidate


class LanguagesForm(BaseModel):
    """Codes of the languages whose captions go on to reviewers."""

    reviewed: list[str] = Field(default_factory=list, max_length=100)
