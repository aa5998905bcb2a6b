"""One request to a server of OpenAI's kind: what came back, or what is wrong in words of ours.

Nothing of a remote body, and no key, ever stands in an error: causes are cut off with `from None`.
"""

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

import httpx2
import openai

from app import outbound
from app.config import settings
from app.endpoints.policies import LONGEST_PAUSE
from app.errors import Invalid
from app.tables import Endpoint

BUSY = (429, 503)
REFUSALS = (400, 413, 415, 422)
TOLD = {
    401: "It does not accept the key (401).",
    403: "It does not allow this (403): check the key and the model.",
    404: "It knows no such address or model (404): check the base URL and the model's name.",
}
NAME_LENGTH = 200


@dataclass(frozen=True)
class Completion:
    """An answer as it came: `texts` are its content, then what a server put beside it."""

    texts: list[str | None]
    is_cut_off: bool
    model: str
    fingerprint: str
    tokens_in: int
    tokens_out: int


class Trouble(Exception):
    """The server gave no answer. `again` where another try may help, after `retry_after` seconds if it said so.

    `by_question` where it may be this question at which it fails, and it may answer others.
    """

    def __init__(self, why: str, *, again: bool = False, retry_after: float = 0, by_question: bool = False) -> None:
        super().__init__(why)
        self.why, self.again, self.retry_after, self.by_question = why, again, retry_after, by_question


class Refusal(Exception):
    """The server takes no request of this form. `parameter` is what it does not take, where it said so."""

    def __init__(self, status: int, parameter: str) -> None:
        super().__init__(f"It refuses the question ({status}).")
        self.status, self.parameter = status, parameter


def client_of(endpoint: Endpoint) -> openai.OpenAI:
    """A client that goes where the endpoint's row says, with its key. Raises Trouble when the key can't be read."""
    host = httpx2.URL(endpoint.base_url).raw_host.decode("ascii")
    private_host = host if endpoint.may_be_private else ""
    try:
        key = settings().llm_key(endpoint.key) if endpoint.key else None
    except Invalid as error:
        raise Trouble(f"{error.message} {error.what_next}".strip()) from None
    client = outbound.client(seconds=endpoint.timeout_seconds, private_host=private_host, bearer=key)
    return openai.OpenAI(api_key="unused", base_url=endpoint.base_url, http_client=client, max_retries=0)


def complete(client: openai.OpenAI, request: Mapping[str, Any]) -> Completion:
    """Sends one request. Raises Trouble, Refusal, or outbound.TooLarge."""
    try:
        answer = client.chat.completions.with_raw_response.create(**request)
    except outbound.TooLarge:
        raise
    except outbound.Refused as error:
        raise Trouble(str(error)) from None
    except openai.APITimeoutError:
        raise Trouble("It does not answer in time.", by_question=True) from None
    except openai.APIStatusError as error:
        _told(error)
    except openai.APIConnectionError as error:
        raise Trouble(_unreached(error), again=True) from None
    return _read(answer.http_response.content)


def _told(error: openai.APIStatusError) -> NoReturn:
    """Raises what an error status means."""
    status = error.status_code
    if status in REFUSALS:
        raise Refusal(status, _parameter(error.body)) from None
    if status in BUSY:
        after = _seconds(error.response.headers.get("retry-after", ""))
        raise Trouble(f"It is busy ({status}).", again=True, retry_after=after) from None
    if status >= 500:
        raise Trouble(f"It fails ({status}).", again=True, by_question=True) from None
    raise Trouble(TOLD.get(status, f"It answers with the status {status}.")) from None


def _parameter(body: object) -> str:
    named = body.get("param") if isinstance(body, dict) else ""
    return named if isinstance(named, str) else ""


def _seconds(header: str) -> float:
    """Retry-After in seconds: a number or a date (RFC 9110, 10.2.3); 0 for anything else, ten minutes at most."""
    try:
        if header.strip().isdecimal():
            seconds = float(header)
        else:
            seconds = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), LONGEST_PAUSE)


def _unreached(error: BaseException) -> str:
    causes: list[BaseException] = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "Its certificate can't be verified, or it does not speak TLS."
    if any(isinstance(cause, httpx2.ConnectError) for cause in causes):
        return "Nothing answers at its address."
    return "It breaks off its answers."


def _read(content: bytes) -> Completion:
    """Raises Trouble for what is no chat completion."""
    try:
        body = json.loads(content)
        choice = body["choices"][0]
        message, usage = choice["message"], body.get("usage") or {}
        return Completion(
            texts=[message.get(name) for name in ("content", "reasoning_content", "reasoning")],
            is_cut_off=choice.get("finish_reason") == "length",
            model=_name(body.get("model")),
            fingerprint=_name(body.get("system_fingerprint")),
            tokens_in=_count(usage.get("prompt_tokens")),
            tokens_out=_count(usage.get("completion_tokens")),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Trouble("It answers, but not as a server of OpenAI's kind does: check the base URL.") from None


def _name(value: object) -> str:
    return "".join(filter(str.isprintable, value))[:NAME_LENGTH] if isinstance(value, str) else ""


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 10**9 else 0
