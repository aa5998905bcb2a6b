"""Forms of the endpoints' page."""

import math
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from app.addresses import kind_of_host
from app.config import KEY_NAME
from app.endpoints.actions import Settings

HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")
PASTED = "/chat/completions"  # the whole address, as documentation shows it


def short(value: Any) -> str:
    text = str(value).strip()
    if not text or len(text) > 200 or not text.isprintable():
        raise ValueError("Use 1 to 200 printable characters.")
    return text


def base_url(value: Any) -> str:
    """An address without the user name, query or fragment that requests would lose or leak."""
    text = str(value).strip().rstrip("/").removesuffix(PASTED)
    if len(text) > 300 or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("Use at most 300 plain characters.")
    try:
        parts = urlsplit(text)
        port_is_one = (parts.port is None or parts.port > 0) and bool(HOST.fullmatch(parts.netloc.rpartition("@")[2]))
    except ValueError:
        parts, port_is_one = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_one:
        raise ValueError("Begin with http:// or https://, such as https://api.openai.com/v1.")
    if "@" in parts.netloc or parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("Leave out user names, questions and anchors; a key is named below.")
    return text


def key_name(value: Any) -> str:
    text = str(value).strip()
    if text and not KEY_NAME.fullmatch(text):
        raise ValueError("Enter the key's name, never the key: capital letters, digits, underscores, such as OPENAI.")
    return text


def price(value: Any) -> float:
    try:
        made = float(str(value).strip() or 0)
    except ValueError:
        made = math.nan
    if not 0 <= made <= 1e6:
        raise ValueError("Enter a price of 0 or more.")
    return made


def none_if_empty(value: Any) -> Any:
    return None if str(value).strip() == "" else value


Price = Annotated[float, BeforeValidator(price)]


class EndpointForm(BaseModel):
    name: Annotated[str, BeforeValidator(short)]
    base_url: Annotated[str, BeforeValidator(base_url)]
    model: Annotated[str, BeforeValidator(short)]
    key: Annotated[str, BeforeValidator(key_name)] = ""
    may_be_private: bool = False
    takes_pictures: bool = False
    in_flight: int = Field(1, ge=1, le=64)
    per_minute: Annotated[Annotated[int, Field(ge=1, le=100_000)] | None, BeforeValidator(none_if_empty)] = None
    timeout_seconds: int = Field(120, ge=1, le=3600)
    max_tokens: int = Field(1024, ge=1, le=32_768)
    price_in: Price = 0
    price_out: Price = 0

    @model_validator(mode="after")
    def goes_somewhere_allowed(self) -> "EndpointForm":
        parts = urlsplit(self.base_url)
        found = kind_of_host(parts.hostname or "")
        if found == "forbidden":
            raise ValueError("No request may go to that address. Enter the server's own.")
        if found == "private" and not self.may_be_private:
            raise ValueError("That address is of a private network. Allow it for this host below, if it is yours.")
        if self.key and parts.scheme == "http" and not self.may_be_private:
            raise ValueError("A key goes over https:// only, or to a host that may be private.")
        return self

    def settings(self) -> Settings:
        return Settings(**self.model_dump())
