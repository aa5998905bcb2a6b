"""The one outbound HTTP client: it connects to the address that it checked, and bounds what comes back.

A host is resolved once a connection, every address that it has must be allowed, and the socket goes to one of those
very addresses, so a name that changes its mind gains nothing (OWASP SSRF, DNS rebinding). Host header, SNI and the
certificate's name stay the name's. No proxy or certificate is taken from the environment, no redirect is followed.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from typing import Any

import httpcore2
import httpx2
from pydantic import SecretStr

from app.addresses import kind

MAX_BYTES = 2_000_000
WRITTEN_AT_ONCE = 65_536
# What a library adds of its own accord, or takes from the environment, is not sent.
SENT_HEADERS = ("host", "accept", "connection", "content-length", "content-type", "user-agent")


class Refused(Exception):
    """A request that our rules forbid, or an answer that breaks them; the text names the rule and quotes nothing."""


class TooLarge(Refused):
    """An answer that is larger than the cap."""


def client(
    *, seconds: float, private_host: str = "", bearer: SecretStr | None = None, max_bytes: int = MAX_BYTES
) -> httpx2.Client:
    """A client whose every request is over within `seconds` and brings at most `max_bytes`.

    `private_host` is the one host that may have private addresses; `bearer` goes with every request. Requests raise
    Refused, or httpx2's TransportError (TimeoutException when the time is over).
    """
    transport = Guarded(private_host.lower(), seconds, bearer, max_bytes)
    return httpx2.Client(transport=transport, timeout=seconds, trust_env=False, follow_redirects=False)


class Guarded(httpx2.HTTPTransport):
    """HTTP/1.1 with the rules of this module."""

    def __init__(self, private_host: str, seconds: float, bearer: SecretStr | None, max_bytes: int) -> None:
        context = httpx2.create_ssl_context(trust_env=False)
        super().__init__(verify=context, trust_env=False)
        self._until = threading.local()
        backend = _Checked(private_host, self._left, self._bares_the_key)
        self._pool = httpcore2.ConnectionPool(
            context, max_connections=None, max_keepalive_connections=64, keepalive_expiry=30, network_backend=backend
        )
        self._seconds, self._bearer, self._max_bytes = seconds, bearer, max_bytes

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The whole answer, read. One thread does all of it, so the time that is left is kept by thread."""
        if request.url.scheme not in ("http", "https") or request.url.userinfo:
            raise Refused("Only plain http:// and https:// addresses are called.")
        kept = [(name, request.headers[name]) for name in SENT_HEADERS if name in request.headers]
        headers = [*kept, ("accept-encoding", "identity")]  # a small answer must not unpack to a large one
        if self._bearer:
            headers.append(("authorization", f"Bearer {self._bearer.get_secret_value()}"))
        bare = httpx2.Request(
            request.method, request.url, headers=headers, stream=request.stream, extensions=request.extensions
        )
        self._until.at = time.monotonic() + self._seconds
        self._until.bares_the_key = self._bearer is not None and request.url.scheme == "http"
        answer = super().handle_request(bare)
        try:
            return self._whole(request, answer)
        finally:
            answer.close()

    def _whole(self, request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response:
        if answer.has_redirect_location:
            raise Refused("The server redirects, and redirects are not followed: enter the address that it leads to.")
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise Refused("The server compresses its answers although it was asked not to.")
        stream = answer.stream
        assert isinstance(stream, httpx2.SyncByteStream)
        body = b"".join(self._capped(stream))
        return httpx2.Response(answer.status_code, headers=answer.headers, content=body, request=request)

    def _capped(self, stream: Iterable[bytes]) -> Iterator[bytes]:
        size = 0
        for part in stream:
            size += len(part)
            if size > self._max_bytes:
                raise TooLarge(f"The answer is larger than {self._max_bytes / 1e6:g} MB.")
            yield part

    def _bares_the_key(self) -> bool:
        """Whether the request at hand sends its key in the clear: then it stays in the house."""
        return bool(self._until.bares_the_key)

    def _left(self, timeout: float | None) -> float:
        """The seconds that an act may take: never more than the request has left."""
        left: float = self._until.at - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout
        return left if timeout is None else min(left, timeout)


class _Checked(httpcore2.NetworkBackend):
    """Opens sockets, to checked addresses only."""

    def __init__(self, private_host: str, left: Any, bares_the_key: Callable[[], bool]) -> None:
        self._plain = httpcore2.SyncBackend()
        self._private_host, self._left, self._bares_the_key = private_host, left, bares_the_key

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        is_named = host.lower() == self._private_host
        found = _resolved(host, port, self._left(timeout))
        addresses = checked(found, may_be_private=is_named, may_be_public=not self._bares_the_key())
        for number, address in enumerate(addresses, 1):
            try:
                stream = self._plain.connect_tcp(address, port, self._left(timeout), local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if number == len(addresses):
                    raise
            else:
                return _Timed(stream, self._left)
        raise httpcore2.ConnectError


def _resolved(host: str, port: int, seconds: float) -> list[str]:
    """Every address that a host has now. Raises ConnectError for none, ConnectTimeout when it takes too long.

    The system's resolver takes no time limit, so it works beside; one that hangs ends by itself.
    """
    answer: SimpleQueue[list[str]] = SimpleQueue()

    def look_up() -> None:
        found: list[Any] = []
        with suppress(OSError, UnicodeError):  # the latter of a label that is no name
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        answer.put(list(dict.fromkeys(str(entry[4][0]) for entry in found)))

    threading.Thread(target=look_up, name="resolve", daemon=True).start()
    try:
        addresses = answer.get(timeout=seconds)
    except Empty:
        raise httpcore2.ConnectTimeout from None
    if not addresses:
        raise httpcore2.ConnectError
    return addresses


def checked(addresses: list[str], *, may_be_private: bool = False, may_be_public: bool = True) -> list[str]:
    """The addresses. Raises Refused when any of them may not be called."""
    for address in addresses:
        said = kind(ip_address(address))
        if said == "forbidden":
            raise Refused("The host has an address that is neither public nor of a private network.")
        if said == "public" and not may_be_public:
            raise Refused("A key goes to a public address over https:// only.")
        if said == "private" and not may_be_private:
            raise Refused("The host has a private address, and this endpoint may not call one.")
    return addresses


class _Timed(httpcore2.NetworkStream):
    """A connection whose reads and writes share the time of the request at hand, however slowly it goes."""

    def __init__(self, stream: httpcore2.NetworkStream, left: Any) -> None:
        self._stream, self._left = stream, left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for at in range(0, len(buffer), WRITTEN_AT_ONCE):
            self._stream.write(buffer[at : at + WRITTEN_AT_ONCE], self._left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, self._left(timeout)), self._left)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
