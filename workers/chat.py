"""Asking a language model for an answer of a given form, over any server of OpenAI's kind.

How the answer is made to fit steps down a ladder (FORMATS §4): a schema that the server holds the model to; JSON with
the schema in the prompt; the prompt alone. No rung is trusted: every answer is validated here.
"""

import base64
import json
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import openai
import structlog
from pydantic import BaseModel

from app import jobs, outbound
from app.db import transaction
from app.endpoints import actions, queries
from app.tables import Endpoint, Rung
from workers import locks
from workers.completions import Completion, Refusal, Trouble, client_of, complete
from workers.ml.json_answers import Unreadable, plain_schema, read

log = structlog.get_logger()

TRIES = 3
FIRST_PAUSE = 0.5  # seconds between tries, doubling
LONGEST_PAUSE = 20.0  # what a server may make a thread wait; beyond that, the work waits in its queue
QUOTED = 4_000  # characters of a wrong answer that the model sees again
LOWER = {Rung.JSON_SCHEMA: Rung.JSON_OBJECT, Rung.JSON_OBJECT: Rung.PROMPT}


@dataclass(frozen=True)
class Reply:
    """A valid answer as plain values, and what it took: tokens and seconds of all tries together."""

    answer: dict[str, Any]
    model: str
    fingerprint: str
    tokens_in: int
    tokens_out: int
    seconds: float
    rung: Rung


class InvalidAnswer(Exception):
    """The model did not answer as asked, also when told what was wrong. `why` has no text of the post."""

    def __init__(self, why: str, tokens_in: int = 0, tokens_out: int = 0) -> None:
        super().__init__(why)
        self.why, self.tokens_in, self.tokens_out = why, tokens_in, tokens_out


class EndpointDown(Exception):
    """The endpoint gives no answers now. Ask again after `retry_after` seconds.

    `by_question` where it may give one to another question.
    """

    def __init__(self, why: str, retry_after: float, *, by_question: bool = False) -> None:
        super().__init__(why)
        self.why, self.retry_after, self.by_question = why, retry_after, by_question


class Turnstile:
    """How many requests may be open at an endpoint, and how many may begin a minute, of all processes together."""

    def __init__(self, endpoint_id: int, in_flight: int, per_minute: int | None) -> None:
        self._open = threading.BoundedSemaphore(in_flight)
        self._slots = [locks.key("endpoint", endpoint_id, number) for number in range(in_flight)]
        self._door = [locks.key("endpoint", endpoint_id, "door")]
        self._gap = 60 / per_minute if per_minute else 0.0

    @contextmanager
    def turn(self, wait: Callable[[float], None]) -> Iterator[None]:
        with self._open, locks.one_of(self._slots, wait):
            if self._gap:
                with locks.one_of(self._door, wait, min(self._gap, locks.LOOK_AGAIN)):
                    wait(self._gap)  # whoever begins stands in the door so long
            yield


@lru_cache(maxsize=64)
def turnstile(endpoint_id: int, in_flight: int, per_minute: int | None) -> Turnstile:
    """The one of this process for an endpoint, so that jobs beside each other share its limits."""
    return Turnstile(endpoint_id, in_flight, per_minute)


class Chat:
    """An endpoint to ask, from any number of threads. `stop` ends what waits, by jobs.Cancelled."""

    def __init__(self, endpoint: Endpoint, *, stop: threading.Event | None = None, pause: float = FIRST_PAUSE) -> None:
        self.endpoint = endpoint
        self._rung = endpoint.rung or Rung.JSON_SCHEMA
        self._stop = stop or threading.Event()
        self._pause = pause
        self._lock = threading.Lock()
        self._made: openai.OpenAI | None = None
        self._untaken: frozenset[str] = frozenset()  # parameters that the server does not take

    def ask(self, prompt: str, user: str, answer: type[BaseModel], jpeg: bytes | None = None) -> Reply:
        """The model's answer to a system prompt and what the user says, as `answer` validates it.

        Raises InvalidAnswer, EndpointDown (at once while nobody may call), jobs.Cancelled.
        """
        with transaction() as session:
            closed = queries.closed_for(session, self.endpoint.id)
        if closed:
            raise EndpointDown("It is not called for a while, after it failed or was busy.", closed)
        try:
            reply = self._down_the_ladder(prompt, user, answer, jpeg)
        except EndpointDown as down:
            with transaction() as session:
                actions.note_failure(session, self.endpoint.id, down.why, retry_after=down.retry_after)
            raise
        except InvalidAnswer:
            self._note_success()
            raise
        self._note_success()
        return reply

    def _note_success(self) -> None:
        with transaction() as session:
            actions.note_success(session, self.endpoint.id)

    def _down_the_ladder(self, prompt: str, user: str, answer: type[BaseModel], jpeg: bytes | None) -> Reply:
        """A lower rung is kept once it worked: a server may refuse one question for other reasons than its form."""
        rung = began = self._rung
        while True:
            try:
                reply = self.at(rung, prompt, user, answer, jpeg)
            except Refusal as refusal:
                if rung not in LOWER:
                    raise InvalidAnswer(str(refusal)) from None
                rung = LOWER[rung]
            else:
                if rung is not began:
                    self._learn(rung)
                return reply

    def _learn(self, rung: Rung) -> None:
        self._rung = rung
        with transaction() as session:
            actions.learn_rung(session, self.endpoint.id, rung)

    def at(self, rung: Rung, prompt: str, user: str, answer: type[BaseModel], jpeg: bytes | None = None) -> Reply:
        """An answer at one rung; a wrong one is asked for once more, with what was wrong.

        Raises Refusal when the server takes no such request, else as `ask`, without the endpoint's row.
        """
        began = time.monotonic()
        request = self._request(rung, prompt, user, answer, jpeg)
        said: list[Completion] = []
        longer = named = False
        while True:
            said.append(self._send(request, said))
            newest = said[-1]
            try:
                found = read(newest.texts[:1] if newest.is_cut_off else newest.texts, answer)
            except Unreadable as error:
                if newest.is_cut_off and not longer:
                    longer, request = True, request | {"max_tokens": 2 * request["max_tokens"]}
                elif newest.is_cut_off or named:
                    cut_off = f"The answer was cut off at {request['max_tokens']} tokens."
                    raise InvalidAnswer(cut_off if newest.is_cut_off else str(error), *_tokens(said)) from None
                else:
                    named, request = True, request | {"messages": [*request["messages"], *_wrong(newest, str(error))]}
            else:
                taken = time.monotonic() - began
                return Reply(found, newest.model, newest.fingerprint, *_tokens(said), taken, rung)

    def _request(
        self, rung: Rung, prompt: str, user: str, answer: type[BaseModel], jpeg: bytes | None
    ) -> dict[str, Any]:
        schema = plain_schema(answer)
        if rung is not Rung.JSON_SCHEMA:
            told = "Answer with one JSON object that fits this JSON Schema, and with nothing else:"
            prompt = f"{prompt}\n\n{told}\n{json.dumps(schema, ensure_ascii=False)}"
        request = {
            "model": self.endpoint.model,
            "messages": [{"role": "system", "content": prompt}, {"role": "user", "content": _user(user, jpeg)}],
            "max_tokens": self.endpoint.max_tokens,
            "temperature": 0,
            "seed": 0,
        }
        if rung is Rung.JSON_SCHEMA:
            held = {"name": "answer", "schema": schema, "strict": True}
            return request | {"response_format": {"type": "json_schema", "json_schema": held}}
        return request | ({"response_format": {"type": "json_object"}} if rung is Rung.JSON_OBJECT else {})

    def _send(self, request: dict[str, Any], said: list[Completion]) -> Completion:
        """One answer, with tries again and without what the server does not take. Raises as `at`."""
        tries = 0
        while True:
            tries += 1
            untaken = self._untaken
            try:
                return self._once(request, untaken)
            except outbound.TooLarge as error:
                raise InvalidAnswer(str(error), *_tokens(said)) from None
            except Refusal as refusal:
                if not self._gives_way(refusal, untaken):
                    raise
                tries -= 1
            except Trouble as trouble:
                wait = max(trouble.retry_after, self._pause * 2 ** (tries - 1))
                if not trouble.again or tries == TRIES or wait > LONGEST_PAUSE:
                    log.warning("endpoint_gave_no_answer", endpoint=self.endpoint.id, why=trouble.why)
                    raise EndpointDown(trouble.why, trouble.retry_after, by_question=trouble.by_question) from None
                self.wait(wait * random.uniform(1, 1.5))  # noqa: S311  # jitter

    def _once(self, request: dict[str, Any], untaken: frozenset[str]) -> Completion:
        sent = {name: value for name, value in request.items() if name not in untaken}
        if "max_tokens" in untaken:
            sent["max_completion_tokens"] = request["max_tokens"]
        row = self.endpoint
        with turnstile(row.id, row.in_flight, row.per_minute).turn(self.wait):
            return complete(self._client(), sent)

    def _gives_way(self, refusal: Refusal, untaken: frozenset[str]) -> bool:
        """Leaves out, from now on, what the server may have refused: what it named, else the seed."""
        named = refusal.parameter if refusal.parameter in ("max_tokens", "temperature") else "seed"
        if named in untaken:
            return False
        with self._lock:
            self._untaken |= {named}
        return True

    def _client(self) -> openai.OpenAI:
        with self._lock:
            if self._made is None:
                self._made = client_of(self.endpoint)
                weakref.finalize(self, self._made.close)
            return self._made

    def wait(self, seconds: float) -> None:
        """Raises Cancelled as soon as it is to stop."""
        if self._stop.wait(max(0.0, seconds)):
            raise jobs.Cancelled


def _user(text: str, jpeg: bytes | None) -> str | list[dict[str, Any]]:
    """What the user says, and a picture after it. A URL is never sent: servers would fetch it."""
    if jpeg is None:
        return text
    uri = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    return [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": uri}}]


def _wrong(said: Completion, why: str) -> list[dict[str, str]]:
    quoted = next((text for text in said.texts if isinstance(text, str) and text.strip()), "(nothing)")[:QUOTED]
    return [
        {"role": "assistant", "content": quoted},
        {"role": "user", "content": f"{why} Answer again, with the JSON object alone."},
    ]


def _tokens(said: list[Completion]) -> tuple[int, int]:
    return sum(one.tokens_in for one in said), sum(one.tokens_out for one in said)
