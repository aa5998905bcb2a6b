"""A language-model server of the tests: real HTTP on 127.0.0.1, as well or as badly behaved as a test tells it.

    with ModelServer(says({"word": "yes"})) as server:
        ...
        assert server.asked[0].user == "A caption."

A behaviour takes what was asked and the open answer. `in_turn` plays several, the last of them for all that follow.
"""

import json
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

MODEL = "drawn-7b"
FINGERPRINT = "fp_drawn"
JSON_TYPE = "application/json"


@dataclass(frozen=True)
class Asked:
    """A request as it came: its path, its headers in lower case, its body."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def system(self) -> str:
        return "\n".join(text for role, text in self._texts if role == "system")

    @property
    def user(self) -> str:
        """The first thing that the user said; a second one names what was wrong with an answer."""
        return next(text for role, text in self._texts if role == "user")

    @property
    def last(self) -> str:
        return self._texts[-1][1]

    @property
    def format(self) -> str:
        """The type of `response_format`, "" without one."""
        return str((self.body.get("response_format") or {}).get("type", ""))

    @property
    def schema(self) -> Mapping[str, Any] | None:
        """The schema that a server of OpenAI's kind holds its answer to."""
        schema: Mapping[str, Any] | None = (self.body.get("response_format") or {}).get("json_schema", {}).get("schema")
        return schema

    @property
    def picture(self) -> str:
        """The picture's data URI, "" without one."""
        parts = [part for message in self.body["messages"] for part in _parts(message["content"])]
        return next((part["image_url"]["url"] for part in parts if part["type"] == "image_url"), "")

    @cached_property
    def _texts(self) -> list[tuple[str, str]]:
        return [
            (message["role"], " ".join(part["text"] for part in _parts(message["content"]) if part["type"] == "text"))
            for message in self.body["messages"]
        ]


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class Answer(BaseHTTPRequestHandler):
    """One connection's end of the server, with the ways to answer that behaviours are made of."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body go in two writes, and the second must not wait for an answer
    server: "_Listener"

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = json.loads(self.rfile.read(length) or b"{}")
        owner = self.server.owner
        asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        with owner.counting():
            owner.asked.append(asked)
            try:
                owner.behaviour(asked, self)
            except OSError:  # the client went away, as it should from some of what is done here
                self.close_connection = True

    def do_GET(self) -> None:
        self.server.owner.asked.append(Asked(self.path, {}, {}))
        self.send(404, b"{}")

    def send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.begin(status, {"content-length": str(len(body))} | dict(headers or {}))
        self.wfile.write(body)

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"content-type": JSON_TYPE} | dict(headers)).items():
            self.send_header(name, value)
        self.end_headers()

    def wait(self, seconds: float) -> None:
        """Until so much time is over, or the test."""
        self.server.owner.over.wait(seconds)

    def log_message(self, *_: object) -> None:
        pass


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    owner: "ModelServer"

    def handle_error(self, *_: object) -> None:
        """Clients that leave in the midst of an answer are what these tests are about."""


Behaviour = Callable[[Asked, Answer], None]
Content = str | Mapping[str, Any] | None


class ModelServer:
    """Runs while its block does. `asked` holds all requests; `most_at_once` how many were open together."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or obeys()
        self.asked: list[Asked] = []
        self.over = threading.Event()
        self.most_at_once = self._open = 0
        self._lock = threading.Lock()
        self._listener = _Listener(("127.0.0.1", 0), Answer)
        self._listener.owner = self

    @property
    def port(self) -> int:
        return int(self._listener.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def counting(self) -> "_Counting":
        return _Counting(self)

    def __enter__(self) -> Self:
        threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._listener.shutdown()
        self._listener.server_close()


class _Counting:
    def __init__(self, server: ModelServer) -> None:
        self.server = server

    def __enter__(self) -> None:
        with self.server._lock:
            self.server._open += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server._open)

    def __exit__(self, *_: object) -> None:
        with self.server._lock:
            self.server._open -= 1


# --- well-behaved ---------------------------------------------------------------------------------


def says(content: Content | Callable[[Asked], Content], finish_reason: str = "stop", **message: Any) -> Behaviour:
    """Answers with this content, or with what a function makes of the request; a mapping becomes JSON.

    `message` holds further fields of the message, such as `reasoning_content`.
    """

    def behave(asked: Asked, answer: Answer) -> None:
        made = content(asked) if callable(content) else content
        text = json.dumps(made) if isinstance(made, Mapping) else made
        answer.send(200, json.dumps(completion(text, finish_reason, **message)).encode())

    return behave


def completion(content: str | None, finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": content} | message
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "system_fingerprint": FINGERPRINT,
        "choices": [{"index": 0, "message": said, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }


def obeys() -> Behaviour:
    """Answers as a server does that holds its model to the schema: with the least that fits it."""
    return says(lambda asked: fitting(asked.schema) if asked.schema else "I was not told how to answer.")


def fitting(schema: Mapping[str, Any]) -> Any:
    """The least value that a plain schema allows."""
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "object":
        return {name: fitting(inner) for name, inner in schema["properties"].items()}
    return {"string": "", "number": 0, "integer": 0, "boolean": True, "array": []}[schema["type"]]


# --- misbehaving ----------------------------------------------------------------------------------


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """One for each request, the last for every further one."""
    left = list(behaviours)

    def behave(asked: Asked, answer: Answer) -> None:
        chosen = left.pop(0) if len(left) > 1 else left[0]
        chosen(asked, answer)

    return behave


def refuses(what: Callable[[Asked], bool], otherwise: Behaviour, status: int = 400, **error: Any) -> Behaviour:
    """400, or another status, to requests of which `what` is true."""

    def behave(asked: Asked, answer: Answer) -> None:
        if what(asked):
            answer.send(status, json.dumps({"error": {"message": "not supported"} | error}).encode())
        else:
            otherwise(asked, answer)

    return behave


def fails(status: int = 500, body: bytes = b'{"error": {"message": "out of order"}}', **headers: str) -> Behaviour:
    """An error status; `retry_after="1"` becomes the header Retry-After."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _asked, answer: answer.send(status, body, sent)


def redirects(to: str, status: int = 307) -> Behaviour:
    return fails(status, b"", location=to)


def hangs(seconds: float = 600) -> Behaviour:
    """Reads the request and says nothing."""
    return lambda _asked, answer: answer.wait(seconds)


def drips(every: float = 0.05) -> Behaviour:
    """One byte at a time, without end: no single read takes long."""

    def behave(_asked: Asked, answer: Answer) -> None:
        answer.begin(200, {"content-length": "1000000"})
        while not answer.server.owner.over.wait(every):
            answer.wfile.write(b" ")

    return behave


def resets() -> Behaviour:
    """Closes the connection with a reset instead of an answer."""

    def behave(_asked: Asked, answer: Answer) -> None:
        answer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        answer.connection.close()
        answer.close_connection = True

    return behave


def floods(size: int = 10_000_000) -> Behaviour:
    """A completion whose content is that large, in chunks without a length."""

    def behave(_asked: Asked, answer: Answer) -> None:
        answer.begin(200, {"transfer-encoding": "chunked"})
        whole = json.dumps(completion("x" * size)).encode()
        for at in range(0, len(whole), 65_536):
            part = whole[at : at + 65_536]
            answer.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        answer.wfile.write(b"0\r\n\r\n")

    return behave
