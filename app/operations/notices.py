"""One sentence about the data as a whole that stands on every page, such as that the demo's captions are made up."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.tables import Setting

NAME = "notice"


def notice(session: Session) -> str:
    """The sentence; empty when there is none."""
    return str(session.scalar(select(Setting.value).where(Setting.name == NAME)) or "")


def set_notice(session: Session, sentence: str) -> None:
    statement = insert(Setting).values(name=NAME, value=sentence)
    session.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": sentence}))
