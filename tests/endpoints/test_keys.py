"""An API key is named, never entered: no name leads to anything but a key, and no key to a log, a page or an error."""

import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app import config
from app.config import settings
from app.errors import Invalid
from tests.endpoints.calling import ask, chat
from tests.endpoints.server import ModelServer, fails, in_turn, refuses, says
from workers.chat import EndpointDown, InvalidAnswer
from workers.completions import client_of

KEY = "sk-sentinel-7f3a"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Iterator[Path]:
    monkeypatch.setenv("IPATH_HOME", str(tmp_path))
    config.settings.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    config.settings.cache_clear()


def write(home: Path, name: str, text: str = f"{KEY}\n", mode: int = 0o600) -> Path:
    file = home / "keys" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    return file


def test_a_key_comes_from_its_variable_before_its_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, "LOCAL")
    assert settings().llm_key("LOCAL").get_secret_value() == KEY
    monkeypatch.setenv("IPATH_LLM_KEY_LOCAL", "sk-other")
    assert settings().llm_key("LOCAL").get_secret_value() == "sk-other"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o666])
def test_a_file_that_others_may_read_is_refused_with_what_to_do(home: Path, mode: int) -> None:
    file = write(home, "LOCAL", mode=mode)
    with pytest.raises(Invalid) as caught:
        settings().llm_key("LOCAL")
    assert caught.value.what_next == f"Run: chmod 600 {file}"


def test_a_key_that_is_nowhere_says_where_to_put_it(home: Path) -> None:
    with pytest.raises(Invalid) as caught:
        settings().llm_key("LOCAL")
    assert "IPATH_LLM_KEY_LOCAL" in caught.value.what_next
    assert str(home / "keys" / "LOCAL") in caught.value.what_next


@pytest.mark.parametrize(
    "name",
    [
        "DATABASE_URL",
        "../secret_key",
        "/etc/passwd",
        "..",
        "a",
        "",
        "A/B",
        "A\0",
        "A\n",
        "\N{CYRILLIC CAPITAL LETTER A}",
    ],
)
def test_no_name_leads_to_another_variable_or_file(home: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:word@host/db")
    (home / "secret_key").write_text("signs cookies")
    (home / "secret_key").chmod(0o600)
    (home / "keys").mkdir()
    with pytest.raises(Invalid):
        settings().llm_key(name)


def test_a_link_or_a_folder_is_no_key(home: Path) -> None:
    (home / "secret_key").write_text("signs cookies")
    (home / "secret_key").chmod(0o600)
    (home / "keys").mkdir()
    (home / "keys" / "LINK").symlink_to(home / "secret_key")
    (home / "keys" / "FOLDER").mkdir(mode=0o700)
    for name in ("LINK", "FOLDER"):
        with pytest.raises(Invalid):
            settings().llm_key(name)


@pytest.mark.parametrize("text", ["", "two words", "line\nX-Other: 1", "kéy", "x" * 5000])
def test_what_no_header_can_carry_is_no_key_and_is_not_quoted(home: Path, text: str) -> None:
    write(home, "LOCAL", text)
    with pytest.raises(Invalid) as caught:
        settings().llm_key("LOCAL")
    assert not text or text not in caught.value.message + caught.value.what_next


def test_the_key_goes_to_the_endpoint_and_none_goes_where_none_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-the-environment")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Other: of-the-environment")
    write(home, "LOCAL")
    with ModelServer(says({"word": "yes", "caption": ""})) as server:
        ask(chat(server.url, key="LOCAL"))
        ask(chat(server.url))
    with_key, without = server.asked
    assert with_key.headers["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in without.headers
    for asked in server.asked:
        assert not [value for value in asked.headers.values() if "of-the-environment" in value]


def test_a_key_that_is_missing_makes_the_endpoint_down_and_says_why(home: Path) -> None:
    with ModelServer() as server, pytest.raises(EndpointDown, match="IPATH_LLM_KEY_LOCAL"):
        ask(chat(server.url, key="LOCAL"))
    assert server.asked == []


def failures() -> list[Callable[[], ModelServer]]:
    """Servers that send the key back in whatever way they fail."""
    quoted = f'{{"error": {{"message": "bad key {KEY}", "param": "{KEY}"}}}}'.encode()
    return [
        lambda: ModelServer(fails(401, quoted)),
        lambda: ModelServer(fails(500, quoted)),
        lambda: ModelServer(fails(400, quoted)),
        lambda: ModelServer(fails(307, quoted, location=f"/{KEY}")),
        lambda: ModelServer(fails(200, quoted)),
        lambda: ModelServer(says(f"{KEY} {{")),
        lambda: ModelServer(in_turn(refuses(lambda _: True, says(None)), says({KEY: KEY}))),
    ]


@pytest.mark.parametrize("start", failures())
def test_no_failure_says_the_key(
    home: Path, start: Callable[[], ModelServer], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    write(home, "LOCAL")
    caplog.set_level(logging.INFO)
    with start() as server, pytest.raises((EndpointDown, InvalidAnswer)) as caught:
        ask(chat(server.url, key="LOCAL"))
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    told = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value)) + caplog.text
    assert KEY not in told + "".join(capfd.readouterr())


def test_a_client_shows_no_key(home: Path) -> None:
    write(home, "LOCAL")
    made = chat("http://127.0.0.1:9/v1", key="LOCAL")
    with client_of(made.endpoint) as client:
        shown = [repr(thing) for thing in (made, made.endpoint, client, vars(client), vars(client._client._transport))]
    assert KEY not in "".join(shown)
