"""Forms of the pre-filter's pages."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, field_validator


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


class LanguagesForm(BaseModel):
    """Codes of the languages whose captions go on to reviewers."""

    reviewed: list[str] = Field(default_factory=list, max_length=100)
