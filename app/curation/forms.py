"""Forms of the review page."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, StringConstraints, field_validator

from app.curation.actions import Decision
from app.curation.crops import read_crop, read_masks
from app.curation.vocabulary import FIELDS
from app.tables.review import ReviewKind

CAPTION_LIMIT = 20_000
Caption = Annotated[str, StringConstraints(max_length=CAPTION_LIMIT)]
Version = Annotated[int, Field(ge=0, lt=2**31)]
Short = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]


def of_four_numbers(value: str) -> str:
    if value:
        read_crop(value)
    return value


def of_parts(value: str) -> str:
    read_masks(value)
    return value


CropTaken = Annotated[str, AfterValidator(of_four_numbers)]
MasksTaken = Annotated[str, AfterValidator(of_parts), Field(max_length=4000)]


class Fields(BaseModel):
    """What a caption says, by the closed lists; the diagnosis in free words."""

    organ: str = ""
    stain: str = ""
    magnification: str = ""
    species: str = ""
    diagnosis: Short = ""

    @field_validator("organ", "stain", "magnification", "species")
    @classmethod
    def known(cls, value: str, info: Any) -> str:
        if value and value not in FIELDS[info.field_name]:
            raise ValueError("Choose one of the list.")
        return value

    def chosen(self) -> dict[str, str]:
        return {name: value for name in FIELDS if (value := getattr(self, name))}


class DecideForm(Fields):
    """`masks` is empty where the parts are not to be covered, and None from a page that does not offer them."""

    token: UUID
    caption_version: Version
    submission_id: UUID
    caption: Caption = ""
    reason: list[str] = Field(default_factory=list, max_length=8)
    note: Short = ""
    crop: CropTaken = ""
    masks: MasksTaken | None = None
    seconds: float = Field(0, ge=0)

    def decision(self, candidate_id: int, kind: ReviewKind) -> Decision:
        return Decision(
            candidate_id=candidate_id,
            token=self.token,
            caption_version=self.caption_version,
            submission_id=self.submission_id,
            kind=kind,
            caption=self.caption,
            reasons=tuple(self.reason) if kind is ReviewKind.REJECT else (),
            fields=self.chosen(),
            diagnosis=self.diagnosis,
            note=self.note,
            crop=read_crop(self.crop) if self.crop else None,
            masks=None if self.masks is None else read_masks(self.masks),
            seconds=self.seconds,
        )


class DraftForm(Fields):
    """What is written and ticked so far; `checked` names the fields of a machine that the reviewer looked at.

    `masks` is empty where they are not taken, and None where none are offered.
    """

    caption_version: Version
    caption: Caption = ""
    crop: CropTaken = ""
    masks: MasksTaken | None = None
    checked: str = ""

    def kept(self) -> dict[str, object]:
        """The fields as a draft keeps them."""
        seen = [name for name in (*FIELDS, "diagnosis") if name in self.checked.split()]
        kept: dict[str, object] = {**self.chosen(), "diagnosis": self.diagnosis}
        kept |= {"crop": self.crop} if self.crop else {}
        kept |= {"masks": self.masks} if self.masks is not None else {}
        return kept | ({"checked": seen} if seen else {})


class TokenForm(BaseModel):
    submission_id: UUID


class OverlapForm(BaseModel):
    """The share of candidates that two people review, in percent."""

    percent: float = Field(ge=0, le=100)


class ReleaseForm(BaseModel):
    """`until` is the latest end of a lease that the page knew of."""

    until: AwareDatetime
