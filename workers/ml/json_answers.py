"""JSON from language models: the schema that servers take, and the one object in whatever they answer.

What servers really accept and send is written down in FORMATS §4. Error texts quote nothing of an answer.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

THINKING = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)
FENCE = "```"
DEEPEST = 20  # an answer is flat; what nests deeper is made to hurt
KEPT = ("type", "enum", "maxLength", "minimum", "maximum", "description", "items")
WHY_LENGTH = 200


class Unreadable(ValueError):
    """An answer that is not what was asked for; the text says why in words of ours."""


def plain_schema(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema with only what every server takes: objects with all fields required, enums, plain types.

    No references, titles, patterns, formats or alternatives. Raises TypeError for a model that needs alternatives.
    """
    whole = model.model_json_schema()
    return _plain(whole, whole.get("$defs", {}))


def _plain(schema: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return _plain(named[schema["$ref"].rsplit("/", 1)[-1]], named)
    if "const" in schema:
        return {"type": "string", "enum": [schema["const"]]}
    if "type" not in schema:
        raise TypeError("Servers differ in how they take alternatives: give every field one type.")
    made = {name: schema[name] for name in KEPT if name in schema}
    if "items" in made:
        made["items"] = _plain(made["items"], named)
    if made["type"] == "object":
        fields = {name: _plain(inner, named) for name, inner in schema["properties"].items()}
        made |= {"properties": fields, "required": list(fields), "additionalProperties": False}
    return made


def read(texts: list[str | None], model: type[BaseModel]) -> dict[str, Any]:
    """The first of these texts that holds one JSON object which fits the model, as plain values.

    The texts are an answer's content and what a server put beside it. Raises Unreadable with what is wrong with the
    first text that holds anything.
    """
    wrong = ""
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            continue
        try:
            return model.model_validate(_storable(_object(text), DEEPEST)).model_dump(mode="json")
        except Unreadable as error:
            wrong = wrong or str(error)
        except ValidationError as error:
            wrong = wrong or _said(error)
    raise Unreadable(wrong or "The answer is empty.")


def _object(text: str) -> dict[str, Any]:
    """The one JSON object in a text, past thinking, fences, a byte order mark and prose. Never mends half of one."""
    bare = _without_thinking(text).replace("\ufeff", "").strip()
    fenced = bare.split(FENCE)[1::2]
    for candidate in (bare, *(part.removeprefix("json").removeprefix("JSON") for part in fenced)):
        try:
            found = json.loads(candidate, parse_constant=_no_number)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return _among_prose(bare)


def _without_thinking(text: str) -> str:
    """The text outside of what is marked as thinking; a chat template may have opened that before the answer began."""
    kept, at, is_thinking = "", 0, False
    for mark in THINKING.finditer(text):
        closes = bool(mark[1])
        if closes and not is_thinking:
            kept = ""
        elif not is_thinking:
            kept += text[at : mark.start()]
        is_thinking, at = not closes, mark.end()
    return text if is_thinking and not kept else kept + ("" if is_thinking else text[at:])


def _among_prose(text: str) -> dict[str, Any]:
    """The object that stands in a text. Raises Unreadable where none does, or more than one."""
    decoder = json.JSONDecoder(parse_constant=_no_number)
    found: list[dict[str, Any]] = []
    at = text.find("{")
    while at >= 0 and len(found) < 2:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            raise Unreadable("The answer's JSON is cut off or broken.") from None
        found.append(value)
        at = text.find("{", end)
    if len(found) != 1:
        raise Unreadable("The answer holds no JSON." if not found else "The answer holds more than one JSON object.")
    return found[0]


def _storable(value: Any, deeper: int) -> Any:
    """The value with only such text as PostgreSQL keeps: no NUL, no half of a surrogate pair. Raises Unreadable."""
    if deeper < 0:
        raise Unreadable("The answer's JSON is nested too deeply.")
    if isinstance(value, str):
        return value.encode("utf-8", "ignore").decode().replace("\x00", "")
    if isinstance(value, dict):
        return {_storable(name, 0): _storable(inner, deeper - 1) for name, inner in value.items()}
    return [_storable(inner, deeper - 1) for inner in value] if isinstance(value, list) else value


def _no_number(name: str) -> Any:
    raise ValueError(name)


def _said(error: ValidationError) -> str:
    """What is wrong by field, without what was there: it may quote the post."""
    parts = []
    for part in error.errors(include_url=False, include_context=False, include_input=False):
        extra = part["type"] == "extra_forbidden"  # its name is the model's own word
        where = "" if extra else ".".join(str(step) for step in part["loc"])
        parts.append("a field that was not asked for" if extra else f"{where}: {part['msg']}".removeprefix(": "))
    return f"The answer does not fit: {'; '.join(dict.fromkeys(parts))}"[:WHY_LENGTH]
