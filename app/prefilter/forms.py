"""Forms of the pre-filter's pages."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, field_validator

from app.prefilter.privacy import OF_STAGE, Action


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


class PreviewForm(BaseModel):
    threshold: Threshold | None = None


class ThresholdForm(BaseModel):
    """`expected` is the threshold that the page showed as the one in use."""

    threshold: Threshold
    expected: float | None = None


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
