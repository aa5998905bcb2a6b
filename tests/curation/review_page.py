"""The review page read the way a browser does, its form sent, and what then stands in the database."""

from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

from httpx2 import Response
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.tables import Assignment, Candidate, CandidateState, Caption, Review
from tests.factories import make_candidate

HTMX = {"HX-Request": "true"}
Attributes = dict[str, str]


class Html(HTMLParser):
    """The elements of a page in their order, and the text inside of those with an id."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, Attributes]] = []
        self.scripts: list[str] = []
        self.texts: dict[str, str] = {}
        self._open: list[tuple[str, str]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.elements.append((tag, found))
        self._open.append((tag, found.get("id", "")))
        self.texts.setdefault(found.get("id", ""), "")

    def handle_endtag(self, tag: str) -> None:
        # What has no end tag, such as an input, is closed by what stands around it.
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][0] in ("script", "style"):
            self.scripts.append(data)
        for _, id_ in self._open:
            self.texts[id_] = self.texts.get(id_, "") + data

    def named(self, id_: str) -> Attributes:
        return next(found for _, found in self.elements if found.get("id") == id_)

    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """Tags and the names of their attributes: what a text must never change."""
        return [(tag, tuple(found)) for tag, found in self.elements]


class Page(Html):
    """A review page, or the block of it that htmx swaps in."""

    @property
    def candidate(self) -> int:
        return int(self.named("review")["data-candidate"])

    @property
    def caption(self) -> str:
        return self.texts["caption"].removeprefix("\n")

    @property
    def is_editing(self) -> bool:
        return "hidden" not in self.named("caption-box")

    @property
    def has_reasons_open(self) -> bool:
        return "hidden" not in self.named("why-menu")

    def form(self) -> dict[str, str]:
        """What the page's own form sends when nobody touches it."""
        sent = {"caption": self.caption}
        select = ""
        for tag, found in self.elements:
            if tag == "select":
                select = found["name"] if found.get("form") == "decide" else ""
            elif tag == "option" and select and "selected" in found:
                sent[select] = found["value"]
            elif tag == "input" and (found.get("type") == "hidden" or found.get("form") == "decide"):
                sent[found["name"]] = found.get("value", "")
        return {name: value for name, value in sent.items() if name not in ("name", "next")}


def open_page(client: TestClient, query: str = "") -> Page:
    answer = client.get(f"/review{query}")
    assert answer.status_code == 200
    return Page(answer.text)


def send(client: TestClient, page: Page, act: str = "", *, htmx: bool = False, **changes: Any) -> Response:
    """Presses a button of the page's form, with some fields changed before."""
    values = page.form() | ({"decision": act} if act else {}) | changes
    return client.post(f"/review/{page.candidate}/decide", data=values, headers=HTMX if htmx else {})


def candidates(session: Session, count: int) -> list[int]:
    return [make_candidate(session, caption=f"Caption number {number}.").id for number in range(count)]


def state(session: Session, candidate_id: int) -> CandidateState:
    return session.scalars(select(Candidate.state).where(Candidate.id == candidate_id)).one()


def reviews(session: Session) -> list[Review]:
    return list(session.scalars(select(Review).order_by(Review.id)))


def caption_of(session: Session, caption_id: int | None) -> str | None:
    return session.scalar(select(Caption.text).where(Caption.id == caption_id))


def holders(session: Session) -> dict[int, int | None]:
    """Candidate → who holds it now."""
    live = Assignment.lease_until > func.clock_timestamp()
    rows = session.execute(select(Assignment.candidate_id, Assignment.user_id).where(live))
    return {candidate_id: user_id for candidate_id, user_id in rows}


def let_leases_end(session: Session) -> None:
    session.execute(update(Assignment).values(lease_until=func.clock_timestamp() - timedelta(seconds=1)))
