"""The filters of the candidate list, and an admin's decision on a flagged candidate."""

from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints, ValidationInfo, field_validator

from app.candidates.policies import OPEN
from app.candidates.queries import Filter
from app.curation.forms import CropTaken, Fields, MasksTaken
from app.curation.vocabulary import FIELDS
from app.prefilter import stages
from app.prefilter.privacy import OF_STAGE
from app.tables.candidate import CandidateState

Short = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]


class By(StrEnum):
    """What a search goes by. `both` are words and meaning; `image` is a candidate (`like`) or an uploaded `picture`."""

    WORDS = "words"
    MEANING = "meaning"
    BOTH = "both"
    IMAGE = "image"


class ListForm(BaseModel):
    """What to list or search. `state` holds states and, for reviewers, `open`: what they may still be handed.

    A list goes on below the candidate `before`; a search, whose order is its own, after so many results.
    """

    q: Short = ""
    by: By = By.WORDS
    similar: bool = False
    like: int | None = Field(None, ge=1, le=2**62)
    picture: Annotated[str, StringConstraints(pattern="^([0-9a-f]{64})?$")] = ""
    after: int = Field(0, ge=0, le=1000)
    state: list[str] = Field(default_factory=list, max_length=12)
    source: int | None = Field(None, ge=1, le=2**62)
    import_id: int | None = Field(None, ge=1, le=2**62)
    post: int | None = Field(None, ge=1, le=2**62)
    stopped: str = ""
    reason: Annotated[str, StringConstraints(max_length=40)] = ""
    found: str = ""
    stage: str = ""
    low: float | None = None
    high: float | None = None
    organ: list[str] = Field(default_factory=list, max_length=60)
    stain: list[str] = Field(default_factory=list, max_length=60)
    layout: str = "rows"
    before: int | None = Field(None, ge=1, le=2**62)

    @field_validator("source", "import_id", "post", "low", "high", "before", "like", mode="before")
    @classmethod
    def empty_is_none(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("state")
    @classmethod
    def known_states(cls, values: list[str]) -> list[str]:
        if not set(values) <= {OPEN, *CandidateState}:
            raise ValueError("Choose states of the list.")
        return list(dict.fromkeys(values))

    @field_validator("stopped", "stage")
    @classmethod
    def known_stage(cls, value: str) -> str:
        if value and value not in stages.BY_NAME:
            raise ValueError("Choose a stage of the list.")
        return value

    @field_validator("found")
    @classmethod
    def known_kind(cls, value: str) -> str:
        stage, _, kind = value.partition(".")
        if value and kind not in OF_STAGE.get(stage, ()):
            raise ValueError("Choose a kind of private detail of the list.")
        return value

    @field_validator("organ", "stain")
    @classmethod
    def known_field(cls, values: list[str], info: ValidationInfo) -> list[str]:
        if not set(values) <= FIELDS[info.field_name or ""].keys():
            raise ValueError("Choose values of the list.")
        return list(dict.fromkeys(values))

    @field_validator("layout")
    @classmethod
    def known_layout(cls, value: str) -> str:
        return value if value in ("rows", "tiles") else "rows"

    @property
    def searches(self) -> bool:
        """Whether there is something to search by; else the form lists."""
        return bool(self.like or self.picture) if self.by is By.IMAGE else bool(self.q)

    def filter(self) -> Filter:
        return Filter(
            states=self.state,
            source_id=self.source,
            import_id=self.import_id,
            post_id=self.post,
            stopped_by=self.stopped,
            reason=self.reason,
            found=self.found,
            stage=self.stage,
            low=self.low,
            high=self.high,
            organs=self.organ,
            stains=self.stain,
            before=None if self.searches else self.before,
        )

    def view(self) -> "ListForm":
        """The same from its beginning, as it can be kept: an uploaded picture is gone in a while."""
        return self.model_copy(update={"before": None, "after": 0, "picture": ""})

    def query(self, **changes: Any) -> str:
        """The list's address after the `?`, with some values changed; values left alone are left out."""
        return urlencode(self.pairs(**changes))

    def pairs(self, **changes: Any) -> list[tuple[str, str]]:
        """The same as (name, value), for hidden fields."""
        defaults = dict(ListForm())
        wanted = {name: value for name, value in {**dict(self), **changes}.items() if value != defaults[name]}
        lists = {name: value if isinstance(value, list) else [value] for name, value in wanted.items()}
        return [(name, str(one)) for name, values in lists.items() for one in values if one is not None]


class ViewForm(BaseModel):
    """The name under which someone keeps a list."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)]


class ResolveForm(Fields):
    decision: Annotated[str, StringConstraints(pattern="^(accept|reject)$")]
    submission_id: UUID
    caption_version: int = Field(ge=0)
    caption: Annotated[str, StringConstraints(max_length=20_000)] = ""
    crop: CropTaken = ""
    masks: MasksTaken | None = None
    reason: list[str] = Field(default_factory=list, max_length=8)
    note: Short = ""
