"""Endpoints and chats of the tests, at a server that a test runs."""

from itertools import count
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from app.tables import Endpoint
from tests.endpoints.server import MODEL
from workers.chat import Chat, Reply

numbers = count(1_000_000)
SECRET = "the caption of a post"


class Word(BaseModel):
    model_config = ConfigDict(extra="forbid")

    word: Literal["yes", "no"]
    caption: str


GOOD = {"word": "yes", "caption": "Basal cell carcinoma."}


def endpoint(url: str, **values: Any) -> Endpoint:
    """A row that no database has."""
    given = {
        "id": next(numbers),
        "name": "drawn",
        "base_url": url,
        "model": MODEL,
        "key": "",
        "may_be_private": True,
        "takes_pictures": False,
        "in_flight": 4,
        "per_minute": None,
        "timeout_seconds": 10,
        "max_tokens": 64,
        "price_in": 0.0,
        "price_out": 0.0,
        "rung": None,
    }
    return Endpoint(**(given | values))


def chat(url: str, **values: Any) -> Chat:
    """Waits hardly at all between tries."""
    return Chat(endpoint(url, **values), pause=0.01)


def ask(made: Chat, jpeg: bytes | None = None) -> Reply:
    return made.ask("Say yes or no.", SECRET, Word, jpeg)
