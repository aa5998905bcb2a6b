"""The activity page: filters, pages, the CSV, and for whom it is."""

import csv
import html
import io
import re

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.accounts.queries import actor_of, user_named
from app.jobs import record
from app.operations import events
from app.operations.events import EventFilter
from app.tables import Event, Role
from tests.factories import make_candidate, make_person
from tests.web_client import SignIn


@pytest.fixture
def alder(session: Session) -> Actor:
    return make_person(session, "alder")


def found(session: Session, **wanted: object) -> list[str]:
    return [entry.act for entry in events.events(session, EventFilter(**wanted), 50)]  # type: ignore[arg-type]


def test_the_newest_stand_first_and_go_on_below_one(session: Session, alder: Actor) -> None:
    for number in range(3):
        record(session, f"test.act_{number}", "candidate", number)
    entries = events.events(session, EventFilter(), 2)
    assert [entry.act for entry in entries] == ["test.act_2", "test.act_1"]
    assert found(session, before=entries[-1].id) == ["test.act_0", "person.added"]


def test_they_are_filtered_by_person_kind_subject_and_job(session: Session, alder: Actor) -> None:
    record(session, "candidate.accepted", "candidate", 7, user_id=alder.user_id)
    record(session, "candidate.rejected", "candidate", 8, user_id=alder.user_id)
    record(session, "stage.ran", "stage", "quality", job_id=None)
    assert found(session, who=str(alder.user_id)) == ["candidate.rejected", "candidate.accepted"]
    assert found(session, who="system") == ["stage.ran", "person.added"]
    assert found(session, group="Reviews", subject=("candidate", "7")) == ["candidate.accepted"]
    assert found(session, group="Pre-filter") == ["stage.ran"]
    assert found(session, job_id=99) == []


def test_a_day_is_a_whole_day_of_utc(session: Session) -> None:
    for at in ("2026-03-01 23:59:59.9+00", "2026-03-02 00:00+00", "2026-03-02 23:59+00", "2026-03-03 00:00+00"):
        session.execute(
            text("INSERT INTO event (at, act, subject_kind, subject_id) VALUES (:at, :act, 'job', '1')"),
            {"at": at, "act": at[5:13]},
        )
    from datetime import date

    assert found(session, day=date(2026, 3, 2)) == ["03-02 23", "03-02 00"]


def test_people_are_called_by_their_names(session: Session, alder: Actor) -> None:
    (entry,) = events.events(session, EventFilter(), 1)
    assert (entry.who, entry.subject_name) == ("system", "alder")


def test_the_page_tells_who_did_what_with_links(session: Session, sign_in: SignIn) -> None:
    elm = sign_in("elm")
    candidate = make_candidate(session)
    actor = actor_of(user_named(session, "elm"))
    record(session, "candidate.flagged", "candidate", candidate.id, user_id=actor.user_id)
    page = elm.get("/activity")
    assert page.status_code == 200
    assert f'<a href="/candidates/{candidate.id}">C-{candidate.id}</a>' in page.text
    assert "Added" not in page.text
    assert "added" in page.text
    about = elm.get("/activity", params={"q": f"C-{candidate.id}", "who": str(actor.user_id), "what": "Reviews"})
    assert "flagged" in about.text
    assert "Nothing fits" in elm.get("/activity", params={"day": "2001-01-01"}).text


def test_every_act_of_the_code_makes_a_page(session: Session, sign_in: SignIn) -> None:
    from app.operations.sentences import ACTS

    subjects = {"stage": "quality", "person": "1", "candidate": "1"}
    for act in ACTS:
        kind = act.split(".")[0]
        record(session, act, kind, subjects.get(kind, "5"))
    elm, rows, url = sign_in("elm"), 0, "/activity"
    while url:
        page = elm.get(url)
        assert page.status_code == 200
        rows += page.text.count("<tr>") - 1  # the head
        older = re.search(r'href="(/activity)?(\?[^"]*before=[^"]*)"', page.text)
        url = f"/activity{html.unescape(older[2])}" if older else ""
    assert rows >= len(ACTS)


def test_fifty_a_page(session: Session, sign_in: SignIn) -> None:
    for number in range(60):
        record(session, "stage.ran", "stage", "quality", details={"count": number})
    elm = sign_in("elm")
    page = elm.get("/activity?what=Pre-filter")
    assert page.text.count("ran <a") == 50
    last = session.scalars(select(Event.id).where(Event.act == "stage.ran").order_by(Event.id)).all()[10]
    assert elm.get(f"/activity?what=Pre-filter&before={last}").text.count("ran <a") == 10


@pytest.mark.parametrize("query", ["q=no+such+thing", "what=nonsense", "who=x", "day=tomorrow", "before=0"])
def test_nonsense_filters_are_refused_with_a_sentence(sign_in: SignIn, query: str) -> None:
    page = sign_in("elm").get(f"/activity?{query}")
    assert page.status_code == 422
    assert 'role="alert"' in page.text


@pytest.mark.parametrize("path", ["/activity", "/activity.csv"])
@pytest.mark.parametrize(
    "value", ["9" * 30, "9" * 18, "-1", "1e400", "a\x00b", "C-" + "9" * 12, "9999-12-31", "0001-01-01"]
)
@pytest.mark.parametrize("name", ["q", "who", "what", "day", "before"])
def test_no_filter_breaks_the_page(sign_in: SignIn, path: str, name: str, value: str) -> None:
    assert sign_in("elm").get(path, params={name: value}).status_code in (200, 422)


def test_a_time_that_reads_as_long_ago_carries_the_full_one(session: Session, sign_in: SignIn) -> None:
    row = "INSERT INTO event (at, act, subject_kind, subject_id) VALUES (:at, 'stage.ran', 'stage', 'quality')"
    session.execute(text(row), {"at": "2026-03-01 13:59+00"})
    page = sign_in("elm").get("/activity").text
    assert '<time datetime="2026-03-01T13:59:00+00:00" title="1 Mar 2026, 13:59 UTC">' in page


def test_the_csv_holds_all_that_fits_and_no_formulas(session: Session, sign_in: SignIn) -> None:
    record(session, "=cmd|'/c calc'!A0", "candidate", 7, details={"state": "accepted"})
    record(session, "candidate.accepted", "candidate", 7, details={"state": "accepted"})
    answer = sign_in("elm").get("/activity.csv?q=C-7")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert rows[0][:5] == ["log", "time (UTC)", "who", "what", "before and after"]
    assert rows[1][3] == "accepted C-7"
    assert rows[1][4] == "→ accepted"
    assert rows[2][5].startswith("'=")
    assert len(rows) == 3


@pytest.mark.parametrize("path", ["/activity", "/activity.csv", "/system", "/system/live", "/jobs/1"])
@pytest.mark.parametrize(("persona", "status"), [("alder", 403), ("fir", 403), ("", 303)])
def test_the_house_is_for_admins(sign_in: SignIn, path: str, persona: str, status: int) -> None:
    assert sign_in(persona).get(path).status_code == status


def test_an_admin_role_is_the_one_that_counts(session: Session, sign_in: SignIn) -> None:
    assert sign_in("elm").get("/activity").status_code == 200
    assert user_named(session, "elm").role is Role.ADMIN
