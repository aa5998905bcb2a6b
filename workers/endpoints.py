"""The job behind an endpoint's Test button: what the server really does, found out by asking it (FORMATS §4)."""

import io
import secrets
from typing import Annotated, Any, Literal

from PIL import Image
from pydantic import BaseModel, WithJsonSchema, create_model

from app.db import transaction
from app.endpoints import actions, queries
from app.endpoints.policies import cost
from app.jobs import RunningJob
from app.tables import Endpoint, Rung
from workers.chat import Chat, EndpointDown, InvalidAnswer, Reply
from workers.completions import Refusal

PROMPT = "Someone tests the connection. You answer in JSON."
ASKED_OTHERWISE = 'Answer with {"word": "hello"}.'
ASKED_BY_SCHEMA = 'Answer with an object whose "word" is the value that the schema allows.'
COLOUR = "blue"
SIDE = 256  # pixels


class Colour(BaseModel):
    colour: Literal["red", "green", "blue", "yellow", "black", "white"]


def run_test(job: RunningJob) -> None:
    """Asks the endpoint a few small questions and keeps what it found. Arguments: endpoint."""
    with transaction() as session:
        endpoint = queries.endpoint(session, job.arguments["endpoint"])
    job.total = 1
    found, rung = tried(Chat(endpoint, stop=job.stop))
    with job.step() as session:
        kept = actions.note_test(session, endpoint, found, rung, job)
        job.done = 1
        job.message = "" if kept else "The endpoint was changed meanwhile: test it again."


def tried(chat: Chat) -> tuple[dict[str, Any], Rung | None]:
    """What is found, as the endpoint's row keeps it, and the highest rung that works; None where none does."""
    found: dict[str, Any] = {"answers": False, "why": "", "schema": "", "picture": ""}
    try:
        reply = _best(chat, found)
        found["answers"] = True
        if reply is None:
            return found, None
        if chat.endpoint.takes_pictures:
            found["picture"] = _picture(chat, reply.rung)
    except EndpointDown as down:
        return found | {"answers": False, "why": down.why}, None
    return found | _measured(chat.endpoint, reply), reply.rung


def _best(chat: Chat, found: dict[str, Any]) -> Reply | None:
    """The answer at the highest rung that works. Notes what became of the schema, and why none works."""
    word = secrets.token_hex(4)
    try:
        reply = chat.at(Rung.JSON_SCHEMA, PROMPT, ASKED_OTHERWISE, canary(word))
        found["schema"] = "held" if reply.answer["word"] == word else "ignored"
        if found["schema"] == "held":
            return reply
    except InvalidAnswer:
        found["schema"] = "ignored"
    except Refusal:
        found["schema"] = "refused"
    for rung in (Rung.JSON_OBJECT, Rung.PROMPT):
        try:
            return chat.at(rung, PROMPT, ASKED_BY_SCHEMA, canary(word))
        except InvalidAnswer as error:
            found["why"] = error.why
        except Refusal as refusal:
            found["why"] = str(refusal)
    return None


def canary(word: str) -> type[BaseModel]:
    """An answer whose schema allows one word alone, which nobody is told, though any word is taken here.

    A server that answers 200 and leaves the schema aside gives the word that it was asked for.
    """
    schema = WithJsonSchema({"type": "string", "enum": [word]})
    return create_model("Canary", word=(Annotated[str, schema], ...))


def _picture(chat: Chat, rung: Rung) -> str:
    """Whether a picture is refused, taken, or seen: only then its colour is told."""
    try:
        reply = chat.at(rung, PROMPT, "Which colour has the picture?", Colour, drawn())
    except (Refusal, EndpointDown):  # llama.cpp without a projector answers 500
        return "refused"
    except InvalidAnswer:
        return "taken"
    return "seen" if reply.answer["colour"] == COLOUR else "taken"


def drawn() -> bytes:
    """A JPEG of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), COLOUR).save(buffer, "JPEG")
    return buffer.getvalue()


def _measured(endpoint: Endpoint, reply: Reply) -> dict[str, Any]:
    return {
        "seconds": round(reply.seconds, 3),
        "tokens_in": reply.tokens_in,
        "tokens_out": reply.tokens_out,
        "tokens_a_second": round(reply.tokens_out / reply.seconds, 1) if reply.seconds else None,
        "cost": cost(endpoint, reply.tokens_in, reply.tokens_out),
        "model": reply.model,
        "fingerprint": reply.fingerprint,
    }
