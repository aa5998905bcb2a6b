"""Captions come from strangers: on every page that shows one it is text and nothing else."""

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.tables import Candidate, Post
from tests.curation.review_page import Html, let_leases_end, open_page, reviews, send
from tests.factories import make_candidate
from tests.web_client import SignIn

PLAIN = "A plain caption, H&E."
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script src=//evil.example/x.js></script>",
    "</textarea></bdi></p><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)' x='",
    '" autofocus onfocus="alert(1)',
    "<svg/onload=alert(1)>",
    "<style>*{display:none}</style>",
    '<base href="//evil.example/">',
    '<meta http-equiv="refresh" content="0;url=//evil.example">',
    '<div hx-get="/sign-out" hx-trigger="load" data-hx-post="/sign-out"></div>',
    '<form action="//evil.example"><button name=decision value=accept>',
    "<!-- <![CDATA[ ]]> --!> <iframe srcdoc='&lt;script&gt;'>",
    "{{ 7 * 7 }} {% raw %} ${7*7} #{7*7} <%= 7 %>",
    "&lt;script&gt;alert(1)&lt;/script&gt; &amp;quot;",
    "javascript:alert(1)//\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe\N{ZERO WIDTH SPACE}",
    "\n\nTwo empty lines before, </p>\n\n<p>and a tab\tinside",
]


def inert(page: str) -> Html:
    """The page, which holds no script, style or handler but those of files of our own."""
    read = Html(page)
    assert read.scripts == []
    for tag, found in read.elements:
        assert tag not in ("style", "base", "iframe", "object", "embed")
        assert not [name for name in found if name.startswith("on") or name == "style"]
        assert tag != "script" or found["src"].startswith("/static/")
        assert "http-equiv" not in found
        assert not found.get("href", "").startswith("javascript:")
        assert found.get("action", "/").startswith("/")
    return read


def side_by_side(session: Session, hostile: str) -> tuple[Candidate, Candidate]:
    return make_candidate(session, caption=PLAIN), make_candidate(session, caption=hostile)


@pytest.mark.parametrize("caption", HOSTILE)
@pytest.mark.parametrize("query", ["", "&edit=true"])
def test_a_caption_changes_nothing_of_the_review_page_but_its_text(
    session: Session, sign_in: SignIn, caption: str, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.curation.pages.is_spot_check", lambda _candidate_id: False)
    plain, hostile = side_by_side(session, caption)
    alder = sign_in("alder")
    harmless = open_page(alder, f"?candidate={plain.id}{query}")
    page = open_page(alder, f"?candidate={hostile.id}{query}")
    inert(alder.get(f"/review?candidate={hostile.id}{query}").text)
    assert page.shape() == harmless.shape()
    assert page.caption == caption
    assert page.named("review")["data-raw"] == caption
    assert page.texts["caption-shown"] == caption


@pytest.mark.parametrize("caption", HOSTILE)
def test_a_caption_changes_nothing_of_the_pages_that_list_decisions(
    session: Session, sign_in: SignIn, caption: str
) -> None:
    side_by_side(session, caption)
    alder = sign_in("alder")
    shapes = []
    for _ in range(2):
        send(alder, open_page(alder), "accept")
        row = alder.get("/").text.split("<tbody>")[1].split("</tr>")[0]
        shapes.append(inert(row).shape())
    assert shapes[0] == shapes[1]
    assert len(reviews(session)) == 2
    inert(alder.get("/").text)
    inert(alder.get("/review").text)


def too_late(session: Session, alder: TestClient, birch: TestClient, caption: str) -> list[tuple[str, tuple[str, ...]]]:
    """The page that shows both texts, without the marks of where they differ."""
    make_candidate(session, caption=caption)
    page = open_page(alder)
    let_leases_end(session)
    send(birch, open_page(birch), "accept", caption=f"birch {caption}")
    answer = send(alder, page, "accept", caption=f"alder {caption}")
    assert answer.status_code == 409
    return [element for element in inert(answer.text).shape() if element[0] != "ins"]


@pytest.mark.parametrize("caption", HOSTILE)
def test_both_texts_of_a_decision_that_came_too_late_are_text(session: Session, sign_in: SignIn, caption: str) -> None:
    alder, birch = sign_in("alder"), sign_in("birch")
    assert too_late(session, alder, birch, PLAIN) == too_late(session, alder, birch, caption)


def test_what_else_a_post_brings_is_text_as_well(session: Session, sign_in: SignIn) -> None:
    candidate = make_candidate(session, author='"><script>alert(1)</script>')
    post = session.get_one(Post, candidate.post_id)
    post.permalink = None
    session.flush()
    inert(sign_in("alder").get("/review").text)


@pytest.mark.parametrize("path", ["/", "/review", "/review?keys=true", "/account"])
@pytest.mark.parametrize("persona", ["alder", "elm"])
def test_pages_hold_no_inline_script_or_style(session: Session, sign_in: SignIn, persona: str, path: str) -> None:
    make_candidate(session)
    answer = sign_in(persona).get(path)
    assert answer.status_code == 200
    inert(answer.text)


def test_the_sign_in_page_holds_none_either(sign_in: SignIn) -> None:
    client: TestClient = sign_in("")
    inert(client.get("/sign-in").text)
