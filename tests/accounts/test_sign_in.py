"""Signing in and out, sessions and their cookie, and the pause after wrong tries."""

import re
from datetime import timedelta
from http.cookies import Morsel, SimpleCookie

import pytest
from fastapi import FastAPI
from httpx2 import Response
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts import actions
from app.accounts.policies import SYSTEM
from app.accounts.queries import user_named
from app.config import settings
from app.tables import Event, LoginAttempt, User, UserSession
from tests.factories import PASSWORD, make_person
from tests.web_client import SignIn

WRONG = "Name or password is wrong."


@pytest.fixture
def oak(session: Session) -> User:
    make_person(session, "oak")
    return user_named(session, "oak")


@pytest.fixture
def stranger(sign_in: SignIn, oak: User) -> TestClient:
    return sign_in("")


def send(client: TestClient, name: str = "oak", password: str = PASSWORD, **more: str) -> Response:
    return client.post("/sign-in", data={"name": name, "password": password} | more)


def try_wrong(client: TestClient, times: int = 1, name: str = "oak") -> Response:
    for _ in range(times):
        answer = send(client, name, "wrong password here")
    return answer


def cookie(answer: Response, name: str = "session") -> Morsel[str]:
    return SimpleCookie(answer.headers["set-cookie"])[name]


def pass_time(session: Session, **time: float) -> None:
    """What was tried was tried that much longer ago."""
    session.execute(update(LoginAttempt).values(at=LoginAttempt.at - timedelta(**time)))


def pause(answer: Response) -> int:
    assert answer.status_code == 429
    (seconds,) = re.findall(r"Too many wrong tries. Try again in (\d+) seconds.", answer.text)
    assert answer.headers["retry-after"] == seconds
    return int(seconds)


def test_signing_in_leads_home_and_opens_the_pages(stranger: TestClient, session: Session, oak: User) -> None:
    assert stranger.get("/").headers["location"] == "/sign-in?next=%2F"
    answer = send(stranger)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert stranger.get("/").status_code == 200
    event = session.scalars(select(Event).where(Event.act == "person.signed_in")).one()
    assert event.user_id == oak.id


def test_a_name_is_taken_in_any_case_and_with_spaces_around(stranger: TestClient) -> None:
    assert send(stranger, "  OAK ").status_code == 303


def test_someone_signed_in_needs_no_sign_in_page(sign_in: SignIn) -> None:
    assert sign_in("alder").get("/sign-in").headers["location"] == "/"


@pytest.mark.parametrize(
    ("name", "password"),
    [("oak", "wrong password here"), ("nobody", PASSWORD), ("o\x00ak", PASSWORD), ("' OR 1=1 --", PASSWORD)],
)
def test_wrong_names_and_wrong_passwords_are_told_the_same(stranger: TestClient, name: str, password: str) -> None:
    answer = send(stranger, name, password)
    assert answer.status_code == 422
    assert f"{WRONG} 4 tries left before a pause." in answer.text
    assert "set-cookie" not in answer.headers
    assert password not in answer.text


def test_a_disabled_person_is_told_no_more_than_a_wrong_password(
    stranger: TestClient, session: Session, oak: User
) -> None:
    actions.disable(session, SYSTEM, oak)
    answer = send(stranger)
    assert answer.status_code == 422
    assert WRONG in answer.text


@pytest.mark.parametrize(("name", "password"), [("", PASSWORD), ("oak", ""), ("x" * 41, PASSWORD), ("oak", "x" * 257)])
def test_what_can_not_be_a_name_or_password_is_no_try(
    stranger: TestClient, session: Session, name: str, password: str
) -> None:
    assert send(stranger, name, password).status_code == 422
    assert session.scalar(select(func.count()).select_from(LoginAttempt)) == 0


def test_htmx_gets_the_form_alone_and_keeps_the_name(stranger: TestClient) -> None:
    answer = stranger.post("/sign-in", data={"name": "oak", "password": "wrong"}, headers={"HX-Request": "true"})
    assert "<html" not in answer.text
    assert 'value="oak"' in answer.text


# --- the pause ----------------------------------------------------------------------------------


def test_after_five_wrong_tries_even_the_right_password_has_to_wait(stranger: TestClient, session: Session) -> None:
    assert "tries left" not in try_wrong(stranger, 5).text
    assert pause(send(stranger)) == 15
    pass_time(session, seconds=16)
    assert send(stranger).status_code == 303


def test_the_pause_doubles_with_every_further_try_up_to_five_minutes(stranger: TestClient, session: Session) -> None:
    try_wrong(stranger, 5)
    pauses = []
    for _ in range(6):
        pauses.append(pause(send(stranger)))
        pass_time(session, seconds=pauses[-1])
        # Tries leave the window of 15 minutes after some pauses; what is counted is how many are in it.
        session.execute(update(LoginAttempt).values(at=func.greatest(LoginAttempt.at, at_most_ago(pauses[-1]))))
        try_wrong(stranger)
    assert pauses == [15, 30, 60, 120, 240, 300]


def at_most_ago(seconds: int) -> object:
    return func.clock_timestamp() - timedelta(seconds=seconds)


def test_a_pause_is_over_for_good_after_fifteen_minutes(stranger: TestClient, session: Session) -> None:
    try_wrong(stranger, 5)
    pass_time(session, minutes=15, seconds=1)
    assert "4 tries left" in try_wrong(stranger).text


def test_one_persons_pause_is_not_anothers(stranger: TestClient, session: Session) -> None:
    make_person(session, "yew")
    try_wrong(stranger, 5)
    assert send(stranger, "yew").status_code == 303


def test_unknown_names_are_slowed_down_as_well(stranger: TestClient) -> None:
    try_wrong(stranger, 5, "nobody")
    assert pause(try_wrong(stranger, 1, "nobody")) == 15


def test_an_address_has_thirty_tries_over_all_names(stranger: TestClient) -> None:
    for number in range(30):
        try_wrong(stranger, 1, f"name{number}")
    assert pause(send(stranger)) == 15


def test_signing_in_forgets_the_wrong_tries(stranger: TestClient) -> None:
    try_wrong(stranger, 4)
    send(stranger)
    stranger.cookies.clear()
    assert "4 tries left" in try_wrong(stranger).text


def test_names_that_were_tried_are_kept_hashed(stranger: TestClient, session: Session) -> None:
    try_wrong(stranger, 1, "my-password-typed-here")
    attempt = session.scalars(select(LoginAttempt)).one()
    assert re.fullmatch("[0-9a-f]{64}", attempt.name_sha256)


# --- the session and its cookie -----------------------------------------------------------------


def test_the_database_holds_only_the_tokens_hash(stranger: TestClient, session: Session) -> None:
    token = cookie(send(stranger)).value
    kept = session.scalars(select(UserSession)).one()
    assert len(token) >= 43
    assert kept.token_sha256 != token
    assert re.fullmatch("[0-9a-f]{64}", kept.token_sha256)


def test_signing_in_gives_a_new_token_and_ends_the_one_before(stranger: TestClient) -> None:
    tokens = ["chosen-by-someone-else"]
    for _ in range(2):
        stranger.cookies = {"session": tokens[-1]}
        tokens.append(cookie(send(stranger)).value)
    assert len(set(tokens)) == 3
    for token, status in zip(tokens, (303, 303, 200), strict=True):
        stranger.cookies = {"session": token}
        assert stranger.get("/account").status_code == status


def test_the_cookie_is_for_this_host_and_no_script(stranger: TestClient) -> None:
    made = cookie(send(stranger))
    assert (made["path"], made["domain"], made["samesite"], made["max-age"]) == ("/", "", "lax", "604800")
    assert made["httponly"]
    assert not made["secure"]


def test_behind_tls_the_cookie_is_bound_to_the_host(
    monkeypatch: pytest.MonkeyPatch, web_app: FastAPI, oak: User
) -> None:
    monkeypatch.setattr(settings(), "behind_tls", True)
    client = TestClient(web_app, base_url="https://localhost", follow_redirects=False)
    made = cookie(send(client), "__Host-session")
    assert made["secure"]
    assert (made["path"], made["domain"]) == ("/", "")
    assert client.get("/account").status_code == 200
    client.cookies = {"session": made.value}
    assert client.get("/account").status_code == 303


def test_signing_out_ends_this_session_alone(sign_in: SignIn, session: Session) -> None:
    alder = sign_in("alder")
    token = alder.cookies["session"]
    elsewhere = actions.sign_in(session, "alder", PASSWORD, "127.0.0.1", "another browser") or ""
    answer = alder.post("/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert cookie(answer)["max-age"] == "0"
    for kept, status in ((token, 303), (elsewhere, 200)):
        alder.cookies.set("session", kept)
        assert alder.get("/account").status_code == status
        alder.cookies.clear()


@pytest.mark.parametrize(
    ("column", "age", "status"),
    [
        ("seen_at", timedelta(hours=11, minutes=59), 200),
        ("seen_at", timedelta(hours=12, seconds=1), 303),
        ("created_at", timedelta(days=6, hours=23), 200),
        ("created_at", timedelta(days=7, seconds=1), 303),
    ],
)
def test_a_session_ends_after_12_idle_hours_or_7_days(
    sign_in: SignIn, session: Session, column: str, age: timedelta, status: int
) -> None:
    alder = sign_in("alder")
    session.execute(update(UserSession).values({column: func.clock_timestamp() - age}))
    assert alder.get("/account").status_code == status


def test_being_here_keeps_a_session_from_being_idle(sign_in: SignIn, session: Session) -> None:
    alder = sign_in("alder")
    for _ in range(2):
        session.execute(update(UserSession).values(seen_at=func.clock_timestamp() - timedelta(hours=11)))
        assert alder.get("/account").status_code == 200


@pytest.mark.parametrize("token", ["", "wrong", "x" * 5000, "\N{LATIN SMALL LETTER E WITH ACUTE}"])
def test_a_made_up_token_is_nobodys(sign_in: SignIn, token: str) -> None:
    headers = {"cookie": f"session={token}".encode()}
    assert sign_in("").get("/account", headers=headers).status_code == 303  # type: ignore[arg-type]


# --- where signing in leads ---------------------------------------------------------------------


def test_signing_in_goes_on_where_it_was_asked_for(stranger: TestClient) -> None:
    asked = stranger.get("/review?candidate=3").headers["location"]
    assert 'name="next" value="/review?candidate=3"' in stranger.get(asked).text
    assert send(stranger, next="/review?candidate=3").headers["location"] == "/review?candidate=3"


@pytest.mark.parametrize(
    "url",
    [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r\nSet-Cookie: a=b",
        " //evil.example",
        "https://evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "evil.example",
        "@evil.example",
        "/\x00/evil.example",
    ],
)
def test_signing_in_leads_to_no_other_site(stranger: TestClient, url: str) -> None:
    assert send(stranger, next=url).headers["location"] == "/"


def test_a_hostile_next_is_shown_as_text(stranger: TestClient) -> None:
    page = stranger.get("/sign-in", params={"next": '"><script>alert(1)</script>'}).text
    assert "<script>alert" not in page
