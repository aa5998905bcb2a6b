"""Lists and searches that people keep under a name."""

import html

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.candidates.actions import MOST_VIEWS
from app.tables import SavedView
from tests.factories import make_candidate
from tests.web_client import SignIn

OFFERED = 'popovertarget="view">'  # the button that opens the form
FLAGGED = {"name": "To look at", "state": "flagged"}


def kept(session: Session) -> list[tuple[str, str]]:
    return [(view.name, view.query) for view in session.scalars(select(SavedView).order_by(SavedView.id))]


def following(client: TestClient, path: str, data: dict[str, str]) -> str:
    """The page that a sent form leads to."""
    answer = client.post(path, data=data)
    assert answer.status_code == 303
    return html.unescape(client.get(answer.headers["location"]).text)


def test_a_view_keeps_what_the_list_knows_from_its_beginning(session: Session, sign_in: SignIn) -> None:
    alder = sign_in("alder")
    sent = {"q": "a&b", "state": "queued", "layout": "tiles", "before": "9", "after": "50", "to": "//evil.example"}
    page = following(alder, "/candidates/views", sent | {"name": " Mine <b> "})
    assert kept(session) == [("Mine <b>", "q=a%26b&state=queued&layout=tiles")]
    assert "“Mine <b>” is saved." in page
    again = alder.get("/candidates").text
    assert 'href="/candidates?q=a%26b&amp;state=queued&amp;layout=tiles"' in again
    assert "Mine &lt;b&gt;" in again


@pytest.mark.parametrize(
    "changes",
    [
        {"name": " "},
        {"name": "n" * 61},
        {"state": "nonsense"},
        {"state": ""},
        {"by": "image", "picture": "a" * 64, "state": ""},
    ],
    ids=["no name", "long name", "unknown filter", "whole list", "picture that is not kept"],
)
def test_what_is_no_view_is_refused(session: Session, sign_in: SignIn, changes: dict[str, str]) -> None:
    sent = {name: value for name, value in (FLAGGED | changes).items() if value}
    assert sign_in("alder").post("/candidates/views", data=sent).status_code == 422
    assert kept(session) == []


def test_only_what_is_narrowed_and_not_yet_kept_is_offered_to_be_saved(session: Session, sign_in: SignIn) -> None:
    alder = sign_in("alder")
    assert OFFERED not in alder.get("/candidates").text
    assert OFFERED not in alder.get(f"/candidates?by=image&picture={'a' * 64}").text
    assert OFFERED in alder.get("/candidates?state=flagged").text
    page = following(alder, "/candidates/views", FLAGGED)
    assert OFFERED not in page
    assert "Delete this view" in page


def test_a_name_stands_for_one_view(session: Session, sign_in: SignIn) -> None:
    alder = sign_in("alder")
    alder.post("/candidates/views", data=FLAGGED)
    assert "You already have a view called “To look at”." in following(
        alder, "/candidates/views", FLAGGED | {"state": "queued"}
    )
    assert kept(session) == [("To look at", "state=flagged")]


def test_there_is_room_for_so_many_views(session: Session, sign_in: SignIn) -> None:
    alder = sign_in("alder")
    for number in range(MOST_VIEWS):
        alder.post("/candidates/views", data=FLAGGED | {"name": str(number)})
    assert "Open one and delete it first." in following(alder, "/candidates/views", FLAGGED)
    assert len(kept(session)) == MOST_VIEWS
    sign_in("birch").post("/candidates/views", data=FLAGGED)
    assert len(kept(session)) == MOST_VIEWS + 1


def test_a_deleted_view_leaves_its_list_to_be_saved_again(session: Session, sign_in: SignIn) -> None:
    candidate = make_candidate(session)
    alder = sign_in("alder")
    alder.post("/candidates/views", data={"name": "Mine", "state": "open"})
    (view_id,) = session.scalars(select(SavedView.id))
    page = following(alder, f"/candidates/views/{view_id}/delete", {"state": "open"})
    assert kept(session) == []
    assert "“Mine” is deleted" in page
    assert f"C-{candidate.id}" in page
    assert OFFERED in page


def test_views_are_a_persons_own(session: Session, sign_in: SignIn) -> None:
    sign_in("alder").post("/candidates/views", data=FLAGGED)
    (view_id,) = session.scalars(select(SavedView.id))
    for other in ("birch", "elm"):
        client = sign_in(other)
        assert "To look at" not in client.get("/candidates?state=flagged").text
        assert client.post(f"/candidates/views/{view_id}/delete").status_code == 404
    assert kept(session) == [("To look at", "state=flagged")]
