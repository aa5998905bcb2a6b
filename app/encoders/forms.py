"""Forms of the encoders' page."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator

from app.encoders.actions import NewEncoder


def short(value: Any) -> str:
    text = str(value).strip()
    if len(text) > 200 or not text.isprintable():
        raise ValueError("Use at most 200 printable characters.")
    return text


Short = Annotated[str, BeforeValidator(short)]


class RegisterForm(BaseModel):
    source: Short
    model: Short = ""
    pretrained: Short = ""
    checkpoint: Short = ""
    name: Short = ""
    licence: Short = ""
    quick_gelu: bool = False
    confirmed: bool = False

    def new(self) -> NewEncoder:
        return NewEncoder(**self.model_dump(exclude={"confirmed"}))


class UseForm(BaseModel):
    """`confirmed` by someone who read what the licence reaches."""

    confirmed: bool = False


class DeleteForm(BaseModel):
    confirm: str = ""
