"""Forms of the training pages; the shell's `ipath train` sends the same fields."""

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, StringConstraints

from app.training.plans import NewRun
from app.training.policies import plain, sweep
from app.training.settings import BY_NAME, TrainingSettings


def whole(typed: Any) -> int:
    text = str(typed).strip().replace(",", "")
    if not text.isdecimal() or not text.isascii() or len(text) > 12:
        raise ValueError("Use a whole number.")
    return int(text)


def number(typed: Any) -> float:
    try:
        value = float(str(typed).strip())
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("Use a number, such as 0.1 or 1e-5.")
    return value


def row(typed: Any) -> int | None:
    """A row's number; empty for none."""
    text = str(typed).strip()
    if not text:
        return None
    if not text.isdecimal() or not text.isascii() or not 1 <= int(text[:20]) < 2**63:
        raise ValueError("Choose one of the list.")
    return int(text)


def known_recipe(typed: Any) -> str:
    if typed not in BY_NAME:
        raise ValueError(f"There is no such recipe. There are: {', '.join(BY_NAME)}.")
    return str(typed)


Row = Annotated[int | None, BeforeValidator(row)]
Short = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]
Whole = Annotated[int, BeforeValidator(whole)]
Number = Annotated[float, BeforeValidator(number)]


class SettingsForm(BaseModel):
    """Every field of TrainingSettings, whose ranges `checks` knows; a box that is not ticked is not sent."""

    epochs: Whole
    batch_size: Whole
    learning_rate: Number
    weight_decay: Number
    warmup_steps: Whole
    seed: Whole
    schedule: Short
    precision: Short
    accumulate: Whole
    beta1: Number
    beta2: Number
    epsilon: Number
    clip_gradients: Number
    checkpoint_gradients: bool = False
    lock_image: bool = False
    unlocked_image_groups: Whole
    lock_text: bool = False
    unlocked_text_layers: Whole
    siglip: bool = False
    smallest_crop: Number
    loaders: Whole
    patience: Whole
    best_by: Short
    keep: Short

    def settings(self) -> TrainingSettings:
        return TrainingSettings.from_json(self.model_dump())


class RunForm(SettingsForm):
    """`snapshot` is a number, empty for the practice set; `base` a model's, empty for random weights."""

    snapshot: Row = None
    base: Row = None
    architecture: Short = ""
    recipe: Annotated[str, BeforeValidator(known_recipe)] = "ip-clip"
    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = ""
    like: Row = None
    sweep_field: str = ""
    sweep_values: Short = ""
    confirmed: bool = False

    def new(self) -> NewRun:
        """Raises Invalid for a sweep that can't be."""
        return NewRun(
            snapshot=self.snapshot,
            base=self.base,
            architecture="" if self.base else self.architecture,
            recipe=self.recipe,
            settings=self.settings(),
            swept=sweep(self.sweep_field, self.sweep_values),
            note=self.note,
            like=self.like,
        )


class MoreForm(BaseModel):
    more: Whole


class TidyForm(BaseModel):
    confirm: str = ""


def filled(settings: TrainingSettings) -> dict[str, str]:
    """Settings as a form sends them: boxes that are not ticked are left out."""
    values = settings.as_json()
    return {name: "true" if value is True else plain(value) for name, value in values.items() if value is not False}
