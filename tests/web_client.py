"""The app in-process, signed in as a persona, on the test's rolled-back session."""

from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts import actions
from app.db import get_session
from app.tables import Role
from app.web.deps import cookie_name
from tests.factories import PASSWORD, make_person

PERSONAS = {
    "alder": (Role.REVIEWER, False),
    "birch": (Role.REVIEWER, False),
    "hazel": (Role.REVIEWER, True),
    "fir": (Role.RESEARCHER, False),
    "elm": (Role.ADMIN, False),
}


@pytest.fixture
def web_app(session: Session) -> FastAPI:
    """The whole app; every request works in the test's session and savepoint."""
    from app.main import create_app

    made = create_app()

    def same_session() -> Iterator[Session]:
        with session.begin_nested():
            yield session

    made.dependency_overrides[get_session] = same_session
    return made


SignIn = Callable[[str], TestClient]


@pytest.fixture
def sign_in(web_app: FastAPI, session: Session) -> SignIn:
    """`sign_in("alder")` gives a browser-like client of that persona; `sign_in("")` a stranger's."""

    def client(name: str) -> TestClient:
        headers = {"sec-fetch-site": "same-origin", "accept": "text/html"}
        made = TestClient(web_app, base_url="http://localhost", headers=headers, follow_redirects=False)
        if name:
            role, adjudicator = PERSONAS[name]
            make_person(session, name, role, adjudicator)
            token = actions.sign_in(session, name, PASSWORD, "127.0.0.1", "test")
            assert token
            made.cookies.set(cookie_name(), token)
        return made

    return client
