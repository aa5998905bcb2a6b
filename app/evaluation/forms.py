"""Forms of the pages about evaluation."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, field_validator
from starlette.datastructures import FormData, QueryParams

from app.evaluation.planning import Wish
from app.evaluation.policies import KS, Precision, Preset, Settings, Task

Id = Annotated[int, Field(ge=1, le=2**62)]
SPLITS = ("val", "test")


def short(value: Any) -> str:
    text = str(value).strip()
    if len(text) > 200 or not text.isprintable():
        raise ValueError("Use at most 200 printable characters.")
    return text


Short = Annotated[str, BeforeValidator(short)]


def whole(least: int, most: int) -> BeforeValidator:
    """Reads a whole number, and says in a sentence which ones there are."""

    def read(value: Any) -> int:
        text = str(value).strip()
        if not text.isdecimal() or len(text) > 10 or not least <= int(text) <= most:
            raise ValueError(f"Give a whole number from {least} to {most:,}.")
        return int(text)

    return BeforeValidator(read)


Number = Annotated[int, whole(0, 2**31 - 1)]


class SetForm(BaseModel):
    folder: Short = ""
    name: Short = ""
    layout: Short = ""


class WishForm(BaseModel):
    """What to evaluate. Ticks are lists; what is left empty is the set's or the task's own default."""

    model: list[Id] = []
    set: list[Id] = []
    snapshot: list[Id] = []
    task: list[Task] = []
    variant: Short = ""
    wording: Number = 0
    preset: Preset = Preset.OURS
    k: list[int] = list(KS)
    seeds: Annotated[int, whole(1, 50)] = 5
    split: list[str] = ["test"]
    precision: Precision = Precision.FP32
    seed: Number = 0
    confirmed: bool = False

    @field_validator("k")
    @classmethod
    def _ks(cls, ks: list[int]) -> list[int]:
        if not ks or not set(ks) <= {*KS, 32, 64}:
            raise ValueError("Tick at least one number of pictures a class.")
        return sorted(set(ks))

    @field_validator("split")
    @classmethod
    def _splits(cls, splits: list[str]) -> list[str]:
        if not splits or not set(splits) <= set(SPLITS):
            raise ValueError("Search the test pairs, the validation pairs, or both.")
        return sorted(set(splits))

    def wish(self) -> Wish:
        settings = Settings(
            variant=self.variant,
            wording=self.wording,
            preset=self.preset,
            ks=tuple(self.k),
            seeds=self.seeds,
            splits=tuple(self.split),
            precision=self.precision,
            seed=self.seed,
        )
        return Wish(self.model, self.set, self.snapshot, self.task, settings)


def as_form(query: QueryParams) -> FormData:
    """A query string as a form: the page of gaps is a plain GET that says the same as its POST."""
    return FormData([(name, value) for name, value in query.multi_items()])


class WordingForm(BaseModel):
    """Templates a line each; the names of a class are fields of their own, `name-KEY`, a line each."""

    templates: Annotated[str, Field(max_length=20_000)] = ""
    note: Annotated[str, Field(max_length=200)] = ""


def lines(value: object) -> list[str]:
    """The lines of a text box that say something, each once."""
    said = (" ".join(line.split()) for line in str(value).splitlines())
    return list(dict.fromkeys(line for line in said if line))


def names(form: FormData, keys: list[str]) -> dict[str, list[str]]:
    """Each class key's names as they were sent."""
    return {key: lines(form.get(f"name-{key}", "")) for key in keys}


class MatrixChoice(BaseModel):
    """What the matrix and the report show; a metric that the task has not falls back to its usual one."""

    task: Task = Task.ZERO_SHOT
    metric: Annotated[str, Field(max_length=60)] = ""
    baseline: Annotated[int, Field(ge=0, le=2**62)] = 0
    protocols: Annotated[str, Field(pattern="^(newest|all)$")] = "newest"


class DeleteForm(BaseModel):
    confirm: str = ""


class GapsForm(BaseModel):
    """Which place of the table to fill; without a model, all of it."""

    model: Annotated[int, Field(ge=0, le=2**62)] = 0
    column: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    confirmed: bool = False
