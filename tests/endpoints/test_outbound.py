"""The outbound client reaches public addresses and hosts that an admin named, and nothing else."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

import httpcore2
import httpx2
import pytest
from pydantic import SecretStr

from app import outbound
from app.addresses import kind, kind_of_host
from app.outbound import Refused, TooLarge
from tests.endpoints.server import ModelServer, drips, fails, floods, redirects, says

PUBLIC = ["8.8.8.8", "1.1.1.1", "192.0.1.1", "172.32.0.1", "2606:4700::1111", "2001:4860:4860::8888", "::ffff:8.8.8.8"]
PRIVATE = [
    *("127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.0.1", "100.64.0.1"),
    *("::1", "fd00::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
]
FORBIDDEN = [
    *("0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.1.1", "100.100.100.200", "168.63.129.16", "192.0.0.1"),
    *("192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1"),
    *("240.0.0.1", "255.255.255.255"),
    *("::", "::7f00:1", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1"),
    *("2002:7f00:1::", "3fff::1", "5f00::1", "fe80::1", "fe80::1%1", "fec0::1", "fd00:ec2::254", "ff02::1", "ff0e::1"),
    "::ffff:169.254.169.254",
]


@pytest.mark.parametrize(
    ("address", "said"),
    [(a, k) for k, some in (("public", PUBLIC), ("private", PRIVATE), ("forbidden", FORBIDDEN)) for a in some],
)
def test_every_address_is_public_private_or_forbidden(address: str, said: str) -> None:
    assert kind(ip_address(address)) == said


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("localhost", "private"),
        ("LOCALHOST.", "private"),
        ("10.1.2.3", "private"),
        ("[::1]", "private"),
        ("169.254.169.254", "forbidden"),
        ("8.8.8.8", "public"),
        ("models.example", None),
        ("127.1", None),
    ],
)
def test_of_a_host_that_is_an_address_its_kind_is_known_at_once(host: str, said: str | None) -> None:
    assert kind_of_host(host) == said


# --- a resolver of the test's own -----------------------------------------------------------------

Resolve = Callable[..., list[str]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """`names("models.example", [..], [..])`: its addresses at the first look-up, at the second; gives the look-ups."""
    real = socket.getaddrinfo
    looked_up: list[str] = []
    known: dict[str, list[list[str]]] = {}

    def look_up(host: Any, port: Any, *given: Any, **named: Any) -> Any:
        if host not in known:
            return real(host, port, *given, **named)
        looked_up.append(host)
        answers = known[host]
        if not answers:
            raise socket.gaierror
        return [entry for a in (answers.pop(0) if len(answers) > 1 else answers[0]) for entry in real(a, port)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    def names(host: str, *answers: list[str]) -> list[str]:
        known[host] = list(answers)
        return looked_up

    return names


@pytest.fixture
def canary() -> Iterator[ModelServer]:
    """A server on this machine that nothing may reach."""
    with ModelServer(says({"secret": "of this network"})) as running:
        yield running


def get(url: str, seconds: float = 5, **given: Any) -> httpx2.Response:
    with outbound.client(seconds=seconds, **given) as client:
        return client.post(url, json={})


def test_a_private_address_is_not_called(canary: ModelServer, names: Resolve) -> None:
    names("models.example", ["127.0.0.1"])
    hosts = ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "models.example"]
    for host in hosts:
        with pytest.raises(Refused, match="private"):
            get(f"http://{host}:{canary.port}/")
    assert canary.asked == []


def test_one_bad_address_among_good_ones_is_enough(canary: ModelServer, names: Resolve) -> None:
    names("models.example", ["93.184.216.34", "127.0.0.1"])
    with pytest.raises(Refused):
        get(f"http://models.example:{canary.port}/")
    assert canary.asked == []


def test_a_resolver_that_hangs_takes_no_longer_than_the_request_may(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(60) and [])
    began = time.monotonic()
    with pytest.raises(httpx2.ConnectTimeout):
        get("http://models.example/", seconds=0.3)
    over.set()
    assert time.monotonic() - began < 20


def test_a_name_that_changes_its_mind_gains_nothing(
    canary: ModelServer, names: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = names("models.example", ["93.184.216.34"], ["127.0.0.1"])
    url = f"http://models.example:{canary.port}/"
    connected: list[str] = []

    def connect(_backend: object, host: str, *_: object) -> None:
        connected.append(host)
        raise httpcore2.ConnectError  # no test calls the internet

    with outbound.client(seconds=5) as client:
        with monkeypatch.context() as patched:
            patched.setattr(httpcore2.SyncBackend, "connect_tcp", connect)
            with pytest.raises(httpx2.ConnectError):
                client.post(url)
        assert (looked_up, connected) == (["models.example"], ["93.184.216.34"]), "the very address that was checked"
        with pytest.raises(Refused):
            client.post(url)
    assert canary.asked == []


def test_only_the_host_that_was_named_may_be_private(canary: ModelServer, names: Resolve) -> None:
    names("models.example", ["127.0.0.1"])
    names("other.example", ["127.0.0.1"])
    assert get(f"http://models.example:{canary.port}/v1", private_host="models.example").status_code == 200
    assert canary.asked[0].headers["host"] == f"models.example:{canary.port}"
    with pytest.raises(Refused):
        get(f"http://other.example:{canary.port}/v1", private_host="models.example")
    assert len(canary.asked) == 1


def test_a_key_goes_in_the_clear_to_private_addresses_alone(canary: ModelServer, names: Resolve) -> None:
    names("models.example", ["93.184.216.34"])
    with (
        outbound.client(seconds=5, private_host="models.example", bearer=SecretStr("sk-1")) as client,
        pytest.raises(Refused, match="over https:// only"),
    ):
        client.post("http://models.example/v1")
    with outbound.client(seconds=5, private_host="127.0.0.1", bearer=SecretStr("sk-1")) as client:
        client.post(canary.url)
    assert canary.asked[0].headers["authorization"] == "Bearer sk-1"


def test_no_host_may_be_where_a_cloud_keeps_its_secrets(names: Resolve) -> None:
    names("models.example", ["169.254.169.254"])
    with pytest.raises(Refused, match="neither public nor"):
        get("http://models.example/", private_host="models.example")


def test_an_address_that_does_not_answer_gives_way_to_the_next(canary: ModelServer, names: Resolve) -> None:
    names("models.example", ["127.0.0.2", "127.0.0.1"])
    url = f"http://models.example:{canary.port}/"
    assert get(url, private_host="models.example").status_code == 200


def test_tls_is_asked_for_by_the_name(names: Resolve) -> None:
    names("models.example", ["127.0.0.1"])
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(4096))

        thread = threading.Thread(target=listen)
        thread.start()
        with pytest.raises(httpx2.TransportError):
            get(f"https://models.example:{listener.getsockname()[1]}/", private_host="models.example")
        thread.join()
    assert b"models.example" in heard[0]


@pytest.mark.parametrize("url", ["ftp://8.8.8.8/", "file:///etc/passwd", "http://user:word@8.8.8.8/"])
def test_other_schemes_and_user_names_are_not_called(url: str) -> None:
    with pytest.raises((Refused, httpx2.UnsupportedProtocol)):
        get(url)


@pytest.mark.parametrize("host", ["nowhere.example", "a" * 70 + ".example"])
def test_a_host_without_an_address_is_not_reached(host: str, names: Resolve) -> None:
    names("nowhere.example")
    with pytest.raises((httpx2.ConnectError, httpx2.InvalidURL)):
        get(f"http://{host}/")


# --- what comes back ------------------------------------------------------------------------------


def on(server: ModelServer, **given: Any) -> httpx2.Response:
    return get(server.url, private_host="127.0.0.1", **given)


def test_a_redirect_is_an_error_that_names_the_rule(canary: ModelServer) -> None:
    for status in (301, 302, 303, 307, 308):
        with ModelServer(redirects(canary.url, status)) as server, pytest.raises(Refused, match="not followed"):
            on(server)
    assert canary.asked == []


def test_an_answer_that_is_too_large_is_left_where_it_passes_the_cap() -> None:
    with ModelServer(floods()) as server, pytest.raises(TooLarge):
        on(server)
    with ModelServer(fails(200, b"x" * 1001)) as server:
        with pytest.raises(TooLarge):
            on(server, max_bytes=1000)
        assert len(on(server, max_bytes=1001).content) == 1001


def test_a_dripping_answer_ends_with_the_time_for_all_of_it() -> None:
    with ModelServer(drips()) as server, pytest.raises(httpx2.TimeoutException):
        on(server, seconds=0.5)


def test_a_compressed_answer_is_refused_for_a_small_one_may_unpack_to_a_large_one() -> None:
    with ModelServer(fails(200, b"\x1f\x8b", content_encoding="gzip")) as server:
        with pytest.raises(Refused, match="compresses"):
            on(server)
        assert server.asked[0].headers["accept-encoding"] == "identity"


def test_nothing_of_the_environment_is_sent_or_trusted(canary: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with outbound.client(seconds=5, private_host="127.0.0.1", bearer=SecretStr("sk-1")) as client:
        sent = {"cookie": "a=b", "authorization": "Bearer of the environment", "openai-organization": "x"}
        client.post(canary.url, headers=sent, json={})
    headers = canary.asked[0].headers
    assert headers["authorization"] == "Bearer sk-1"
    assert not {"cookie", "openai-organization"} & set(headers)


def test_connections_are_used_again(canary: ModelServer, names: Resolve) -> None:
    looked_up = names("models.example", ["127.0.0.1"])
    with outbound.client(seconds=5, private_host="models.example") as client:
        for _ in range(3):
            assert client.post(f"http://models.example:{canary.port}/", json={}).status_code == 200
    assert looked_up == ["models.example"]
