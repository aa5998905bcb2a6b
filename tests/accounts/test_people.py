"""The people page and one's own account."""

import re
import threading
from html import unescape

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts import actions, queries
from app.accounts.policies import SYSTEM, password_problem
from app.accounts.queries import user_named
from app.curation import actions as curation
from app.db import sessions, transaction
from app.errors import Conflict
from app.tables import Role, User, UserSession
from tests.candidates.deciding import decide
from tests.factories import PASSWORD, make_candidate, make_person
from tests.web_client import SignIn

NEW = "a quiet walk in the woods"
SHORT = "Use at least 12 characters; a short sentence is good."


def signs_in(session: Session, name: str, password: str) -> bool:
    return actions.sign_in(session, name, password, "127.0.0.1", "test") is not None


def user(session: Session, name: str) -> User:
    found = user_named(session, name)
    session.refresh(found)
    return found


def is_signed_in(client: TestClient) -> bool:
    return client.get("/account").status_code == 200


# --- passwords ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("password", "sentence"),
    [
        ("short", SHORT),
        ("elevenchars", SHORT),
        ("x" * 257, "Use at most 256 characters."),
        ("abababababab", "Too easy to guess. Repeats like "),
        ("Password1234", "Too easy to guess. This is similar to a commonly used password."),
        ("iloveyou12345", "Too easy to guess. This is similar to a commonly used password."),
        ("qwerty-qwerty-1", "Too easy to guess. Repeats like "),
        ("hemlock2hemlock", "Too easy to guess: it is mostly the name."),
    ],
)
def test_a_weak_password_is_refused_with_its_sentence(
    sign_in: SignIn, session: Session, password: str, sentence: str
) -> None:
    answer = sign_in("elm").post("/people", data={"name": "hemlock", "password": password, "role": "reviewer"})
    assert answer.status_code == 422
    assert sentence in answer.text
    assert 'value="hemlock"' in answer.text
    assert password not in answer.text.replace(sentence, "")
    assert session.scalars(select(User).where(User.name == "hemlock")).one_or_none() is None


@pytest.mark.parametrize("password", [NEW, "correct horse battery", "vQ7-äß-lm2-ox", "a sentence of many words " * 10])
def test_a_long_password_needs_nothing_else(password: str) -> None:
    assert password_problem(password, "oak") is None


# --- one's own account --------------------------------------------------------------------------


def test_a_new_password_signs_out_everywhere_and_counts_from_then_on(sign_in: SignIn, session: Session) -> None:
    alder = sign_in("alder")
    signs_in(session, "alder", PASSWORD)
    answer = alder.post("/account/password", data={"old": PASSWORD, "password": NEW})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert session.scalars(select(UserSession)).all() == []
    assert "Password changed" in alder.get("/sign-in").text
    assert not signs_in(session, "alder", PASSWORD)
    assert signs_in(session, "alder", NEW)


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"old": "wrong password here", "password": NEW}, "This is not your password now."),
        ({"old": PASSWORD, "password": "short"}, SHORT),
        ({"old": PASSWORD}, "Fill this in."),
    ],
)
def test_a_password_that_is_not_changed_keeps_everyone_signed_in(
    sign_in: SignIn, sent: dict[str, str], sentence: str
) -> None:
    alder = sign_in("alder")
    answer = alder.post("/account/password", data=sent)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert is_signed_in(alder)


def test_the_account_page_says_who_and_what_one_is(sign_in: SignIn) -> None:
    assert "You work here as reviewer." in sign_in("alder").get("/account").text
    researcher = sign_in("fir").get("/account").text
    assert "You work here as researcher." in researcher
    assert "Goal of a day" not in researcher


def test_the_goal_of_a_day_is_ones_own(sign_in: SignIn, session: Session) -> None:
    alder, birch = sign_in("alder"), sign_in("birch")
    assert alder.post("/account/goal", data={"goal": "300"}).headers["location"] == "/"
    home = alder.get("/").text
    assert "of 300" in home
    assert "Goal changed." in home
    assert "of 200" in birch.get("/").text


@pytest.mark.parametrize("goal", ["0", "-1", "5001", "many", "", "1e3", "9" * 30])
def test_a_goal_that_is_none_is_refused_where_it_was_typed(sign_in: SignIn, session: Session, goal: str) -> None:
    answer = sign_in("alder").post("/account/goal", data={"goal": goal})
    assert answer.status_code == 422
    assert 'id="f-goal-error"' in answer.text
    assert user(session, "alder").daily_goal == 200


# --- the people page ----------------------------------------------------------------------------


def test_an_admin_adds_a_person_who_can_sign_in(sign_in: SignIn, session: Session) -> None:
    elm = sign_in("elm")
    sent = {"name": "Oak", "password": NEW, "role": "reviewer", "adjudicator": "true"}
    assert elm.post("/people", data=sent).headers["location"] == "/people"
    page = elm.get("/people").text
    assert "oak can sign in now." in page
    assert "Reviewer, adjudicator" in page
    assert signs_in(session, "oak", NEW)


@pytest.mark.parametrize("name", ["", "a b", "-oak", "o/k", "x" * 41, "<b>oak</b>", "ök", "o\x00k", "elm", "ELM"])
def test_a_name_that_can_not_be_is_refused_where_it_was_typed(sign_in: SignIn, session: Session, name: str) -> None:
    answer = sign_in("elm").post("/people", data={"name": name, "password": NEW, "role": "researcher"})
    assert answer.status_code == 422
    assert 'id="f-name-error"' in answer.text
    assert '<option value="researcher" selected>' in answer.text
    assert "<b>oak" not in answer.text
    assert session.scalars(select(User.name)).all() == ["elm"]


def test_a_role_that_is_none_is_refused(sign_in: SignIn, session: Session) -> None:
    elm = sign_in("elm")
    answer = elm.post("/people", data={"name": "oak", "password": NEW, "role": "owner"})
    assert answer.status_code == 422
    assert 'id="f-role-error"' in answer.text
    make_person(session, "yew")
    answer = elm.post(f"/people/{user(session, 'yew').id}/role", data={"role": "owner"})
    assert answer.status_code == 422
    assert 'id="f-role-error"' in answer.text


def test_a_new_role_signs_out_and_counts_at_once(sign_in: SignIn, session: Session) -> None:
    elm, alder = sign_in("elm"), sign_in("alder")
    answer = elm.post(f"/people/{user(session, 'alder').id}/role", data={"role": "researcher", "adjudicator": "true"})
    assert answer.headers["location"] == "/people"
    assert "alder is signed out and now works as researcher." in elm.get("/people").text
    assert not is_signed_in(alder)
    assert (user(session, "alder").role, user(session, "alder").adjudicator) == (Role.RESEARCHER, False)


def test_a_disabled_persons_next_request_is_refused_until_enabled(sign_in: SignIn, session: Session) -> None:
    elm, alder = sign_in("elm"), sign_in("alder")
    person = f"/people/{user(session, 'alder').id}"
    assert is_signed_in(alder)
    elm.post(f"{person}/disable")
    assert not is_signed_in(alder)
    assert alder.post("/account/goal", data={"goal": "5"}).status_code == 401
    assert "Disabled" in elm.get("/people").text
    assert '<span class="badge">Disabled</span>' in elm.get(person).text
    assert "Let alder sign in again" in elm.get(person).text
    assert not signs_in(session, "alder", PASSWORD)
    elm.post(f"{person}/enable")
    assert not is_signed_in(alder)
    assert signs_in(session, "alder", PASSWORD)


def test_an_admin_ends_someones_sessions(sign_in: SignIn, session: Session) -> None:
    elm, alder = sign_in("elm"), sign_in("alder")
    elm.post(f"/people/{user(session, 'alder').id}/sessions")
    assert not is_signed_in(alder)
    assert is_signed_in(elm)


def test_an_admin_gives_a_new_password(sign_in: SignIn, session: Session) -> None:
    elm, alder = sign_in("elm"), sign_in("alder")
    url = f"/people/{user(session, 'alder').id}/password"
    refused = elm.post(url, data={"password": "short"})
    assert refused.status_code == 422
    assert SHORT in refused.text
    assert is_signed_in(alder)
    elm.post(url, data={"password": NEW})
    assert not is_signed_in(alder)
    assert signs_in(session, "alder", NEW)


@pytest.mark.parametrize(("act", "sent"), [("disable", {}), ("role", {"role": "reviewer"})])
def test_the_last_admin_stays_one_and_the_page_says_why(
    sign_in: SignIn, session: Session, act: str, sent: dict[str, str]
) -> None:
    elm = sign_in("elm")
    url = f"/people/{user(session, 'elm').id}"
    answer = elm.post(f"{url}/{act}", data=sent)
    assert answer.status_code == 409
    assert "elm is the only admin. Make someone else an admin first." in unescape(answer.text)
    assert f'action="{url}/role"' in answer.text
    assert is_signed_in(elm)
    make_person(session, "oak", Role.ADMIN)
    assert elm.post(f"{url}/{act}", data=sent).status_code == 303
    assert not is_signed_in(elm)


def test_a_disabled_admin_is_no_second_admin(sign_in: SignIn, session: Session) -> None:
    elm = sign_in("elm")
    make_person(session, "oak", Role.ADMIN)
    actions.disable(session, SYSTEM, user(session, "oak"))
    assert elm.post(f"/people/{user(session, 'elm').id}/disable").status_code == 409


@pytest.mark.usefixtures("own_database")
def test_two_admins_who_disable_each_other_at_once_leave_one() -> None:
    with transaction() as session:
        for name in ("elm", "oak"):
            make_person(session, name, Role.ADMIN)
    refused: list[Conflict] = []

    def disable_elm() -> None:
        try:
            with transaction() as session:
                actions.disable(session, SYSTEM, user_named(session, "elm"))
        except Conflict as error:
            refused.append(error)

    other = threading.Thread(target=disable_elm)
    with sessions()() as session:
        actions.disable(session, SYSTEM, user_named(session, "oak"))
        session.flush()
        other.start()
        other.join(0.3)
        session.commit()
    other.join()
    assert len(refused) == 1


def test_the_people_page_counts_reviews_that_stand(sign_in: SignIn, session: Session) -> None:
    oak = make_person(session, "oak")
    for _ in range(3):
        taken_back = decide(session, oak, make_candidate(session))
    curation.undo(session, oak, taken_back.id)
    assert {person.user.name: person.reviews for person in queries.people(session)} == {"oak": 2}


def test_a_persons_activity_is_a_link_away(sign_in: SignIn, session: Session) -> None:
    elm = sign_in("elm")
    (address,) = re.findall(r'href="(/activity\?who=[^"]+)"', elm.get("/people").text)
    page = elm.get(address)
    assert page.status_code == 200
    assert f'<option value="{user(session, "elm").id}" selected>Elm</option>' in page.text


def test_there_is_no_person_of_another_number(sign_in: SignIn) -> None:
    elm = sign_in("elm")
    for number in ("0", "999999999", "9" * 25):
        assert elm.get(f"/people/{number}").status_code == 404
        assert elm.post(f"/people/{number}/disable").status_code == 404
