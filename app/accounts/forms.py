"""Forms about people."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from app.tables.account import Role

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]


class SignIn(BaseModel):
    name: Name
    password: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    next: str = ""


class AddPerson(BaseModel):
    name: Name
    password: str
    role: Role
    adjudicator: bool = False


class ChangeRole(BaseModel):
    role: Role
    adjudicator: bool = False


class NewPassword(BaseModel):
    password: str


class OwnPassword(BaseModel):
    old: str
    password: str


class DailyGoal(BaseModel):
    goal: int = Field(ge=1, le=5000)
