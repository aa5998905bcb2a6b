"""The endpoints' pages: what each one is, how it does, and what can't be entered."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.endpoints import actions
from app.operations import checks
from app.tables import Endpoint, Event, Job, Rung, Stage, StageTodo
from tests.factories import make_candidate, make_endpoint
from tests.web_client import SignIn

ENTERED = {
    "name": "Our llama",
    "base_url": "http://127.0.0.1:8080/v1/",
    "model": "qwen3-8b",
    "may_be_private": "true",
    "in_flight": "2",
    "per_minute": "",
    "timeout_seconds": "60",
    "max_tokens": "512",
    "price_in": "0.15",
    "price_out": "",
}
FOUND = {
    "answers": True,
    "why": "",
    "schema": "held",
    "picture": "",
    "seconds": 1.25,
    "tokens_in": 52,
    "tokens_out": 9,
    "tokens_a_second": 7.2,
    "cost": 0.00042,
    "model": "qwen3-8b-q4",
    "fingerprint": "",
}


def use(session: Session, endpoint: Endpoint | None) -> None:
    row = session.get_one(Stage, "llm")
    row.setting = row.setting | {"endpoint": endpoint.id if endpoint else None}
    session.flush()


def wait_for_it(session: Session, count: int) -> None:
    session.add_all(StageTodo(stage="llm", candidate_id=make_candidate(session).id) for _ in range(count))
    session.flush()


def events(session: Session) -> list[Event]:
    return list(session.scalars(select(Event).where(Event.subject_kind == "endpoint").order_by(Event.id)))


def test_without_an_endpoint_the_page_says_what_goes_on_without_one(sign_in: SignIn) -> None:
    page = sign_in("elm").get("/prefilter/endpoints").text
    assert "No language model yet" in page
    assert "Captions are cleaned by rules alone" in page


def test_an_endpoint_is_entered_and_its_address_put_right(sign_in: SignIn, session: Session) -> None:
    elm = sign_in("elm")
    assert elm.get("/prefilter/endpoints/new").status_code == 200
    answer = elm.post("/prefilter/endpoints", data=ENTERED | {"base_url": "http://127.0.0.1:8080/v1/chat/completions"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/prefilter/endpoints")
    row = session.scalars(select(Endpoint)).one()
    assert (row.base_url, row.model, row.in_flight, row.per_minute) == ("http://127.0.0.1:8080/v1", "qwen3-8b", 2, None)
    assert (row.price_in, row.price_out, row.may_be_private, row.takes_pictures) == (0.15, 0, True, False)
    page = elm.get("/prefilter/endpoints").text
    for said in ("Our llama", "Never tested", "2 at once", "0.15 in, 0 out, a million tokens", "None is sent"):
        assert said in page
    assert [event.act for event in events(session)] == ["endpoint.added"]


REFUSED = [
    ({"name": " "}, "Use 1 to 200 printable characters."),
    ({"name": "our LLAMA"}, "There is an endpoint named our llama already."),
    ({"base_url": "localhost:8080"}, "Begin with http:// or https://"),
    ({"base_url": "ftp://127.0.0.1/"}, "Begin with http:// or https://"),
    ({"base_url": "http://user:word@127.0.0.1/"}, "Leave out user names"),
    ({"base_url": "http://127.0.0.1/v1?key=1"}, "Leave out user names"),
    ({"base_url": "http://127.0.0.1:99999/"}, "Begin with http:// or https://"),
    ({"base_url": "http://[::1/"}, "Begin with http:// or https://"),
    ({"may_be_private": ""}, "That address is of a private network."),
    ({"base_url": "http://localhost/v1", "may_be_private": ""}, "That address is of a private network."),
    ({"base_url": "http://169.254.169.254/v1"}, "No request may go to that address."),
    ({"key": "sk-abc"}, "Enter the key&#39;s name, never the key"),
    ({"key": "DATABASE-URL"}, "Enter the key&#39;s name, never the key"),
    ({"key": "A", "base_url": "http://models.example/v1", "may_be_private": ""}, "A key goes over https:// only"),
    ({"in_flight": "0"}, "greater than or equal to 1"),
    ({"timeout_seconds": "x"}, "valid integer"),
    ({"price_in": "-1"}, "Enter a price of 0 or more."),
    ({"price_in": "nan"}, "Enter a price of 0 or more."),
]


@pytest.mark.parametrize(("wrong", "said"), REFUSED)
def test_what_can_not_be_entered_is_said_and_what_was_typed_is_kept(
    sign_in: SignIn, session: Session, wrong: dict[str, str], said: str
) -> None:
    make_endpoint(session, name="our llama")
    typed = ENTERED | {"name": "another"} | wrong
    answer = sign_in("elm").post("/prefilter/endpoints", data={name: value for name, value in typed.items() if value})
    assert answer.status_code == 422
    assert said in answer.text
    assert f'value="{typed["model"]}"' in answer.text
    assert len(session.scalars(select(Endpoint)).all()) == 1


def make_tested(session: Session, **values: Any) -> Endpoint:
    given = {"test": FOUND, "rung": Rung.JSON_SCHEMA, "tested_at": datetime(2026, 11, 1, tzinfo=UTC)}
    return make_endpoint(session, **(given | values))


def test_what_a_test_found_stands_in_plain_words(sign_in: SignIn, session: Session) -> None:
    make_tested(session, model="qwen3-8b", test=FOUND | {"picture": "taken"})
    page = sign_in("elm").get("/prefilter/endpoints").text
    for said in (
        "Answers</span>",
        "The server holds answers to the schema",
        "Yes: it gave the one word",
        "answers as qwen3-8b-q4",
        "1.2\N{NO-BREAK SPACE}s for a short answer, 7.2 tokens a second",
        "52 in, 9 out, at a cost of 0.00042",
        "Takes them, but told a drawn one&#39;s colour wrong",
    ):
        assert said in page, said


def test_a_test_is_a_job_of_its_own_queue_that_the_page_follows(sign_in: SignIn, session: Session) -> None:
    endpoint = make_endpoint(session)
    elm = sign_in("elm")
    for _ in range(2):
        assert elm.post(f"/prefilter/endpoints/{endpoint.id}/test").status_code == 303
    job = session.scalars(select(Job).where(Job.kind == "test_endpoint")).one()
    assert (job.queue.value, job.arguments) == ("llm", {"endpoint": endpoint.id})
    page = elm.get("/prefilter/endpoints").text
    assert 'hx-trigger="every 2s"' in page
    assert "No worker serves “llm”" in page
    part = elm.get("/prefilter/endpoints", headers={"HX-Request": "true"}).text
    assert part.lstrip().startswith('<div class="stack" id="live"')


def test_a_changed_address_or_model_has_yet_to_be_tested(sign_in: SignIn, session: Session) -> None:
    endpoint = make_tested(session, name="Our llama", base_url="http://127.0.0.1:8080/v1", model="qwen3-8b")
    elm = sign_in("elm")
    url = f"/prefilter/endpoints/{endpoint.id}"
    assert 'value="http://127.0.0.1:8080/v1"' in elm.get(url).text
    assert elm.post(url, data=ENTERED).status_code == 303
    session.refresh(endpoint)
    assert (endpoint.test, endpoint.in_flight) == (FOUND, 2)
    actions.note_failure(session, endpoint.id, "It fails (500).")
    assert elm.post(url, data=ENTERED | {"model": "qwen3-14b"}).status_code == 303
    session.refresh(endpoint)
    assert (endpoint.test, endpoint.rung, endpoint.tested_at, endpoint.failures) == ({}, None, None, 0)
    assert [event.details["changed"] for event in events(session)][1] == "model"


KEYED = ENTERED | {"base_url": "https://models.example/v1", "key": "OURS"}


def test_a_key_does_not_follow_its_endpoint_to_another_host(sign_in: SignIn, session: Session) -> None:
    elm, other = sign_in("elm"), "https://elsewhere.example/v1"
    elm.post("/prefilter/endpoints", data=KEYED)
    row = session.scalars(select(Endpoint)).one()
    url = f"/prefilter/endpoints/{row.id}"
    assert elm.post(url, data=KEYED | {"base_url": "https://Models.example:8443/v2"}).status_code == 303
    session.refresh(row)
    assert row.key == "OURS", "it is the same host"
    assert elm.post(url, data=KEYED | {"base_url": other}).status_code == 303
    session.refresh(row)
    assert (row.base_url, row.key) == (other, "")
    assert "is saved without the key OURS: name it again" in elm.get("/prefilter/endpoints").text
    assert "key" in events(session)[-1].details["changed"]
    assert elm.post(url, data=KEYED | {"base_url": other}).status_code == 303
    session.refresh(row)
    assert row.key == "OURS", "it was named for that host"


def test_another_key_for_another_host_is_taken(sign_in: SignIn, session: Session) -> None:
    elm = sign_in("elm")
    elm.post("/prefilter/endpoints", data=KEYED)
    row = session.scalars(select(Endpoint)).one()
    elm.post(
        f"/prefilter/endpoints/{row.id}", data=KEYED | {"base_url": "https://elsewhere.example/v1", "key": "THEIRS"}
    )
    session.refresh(row)
    assert row.key == "THEIRS"


def test_nothing_is_an_event_when_nothing_changed(sign_in: SignIn, session: Session) -> None:
    elm = sign_in("elm")
    elm.post("/prefilter/endpoints", data=ENTERED)
    row = session.scalars(select(Endpoint)).one()
    elm.post(f"/prefilter/endpoints/{row.id}", data=ENTERED)
    assert [event.act for event in events(session)] == ["endpoint.added"]


def test_an_endpoint_is_retired_unless_it_is_in_use_and_brought_back(sign_in: SignIn, session: Session) -> None:
    endpoint = make_endpoint(session)
    use(session, endpoint)
    elm = sign_in("elm")
    url = f"/prefilter/endpoints/{endpoint.id}"
    assert f"{url}/retire" not in elm.get("/prefilter/endpoints").text
    assert elm.post(f"{url}/retire").status_code == 409
    use(session, None)
    assert elm.post(f"{url}/retire").status_code == 303
    assert "Retired</span>" in elm.get("/prefilter/endpoints").text
    assert elm.post(f"{url}/test").status_code == 409
    assert elm.post(f"{url}/bring-back").status_code == 303
    assert [event.act for event in events(session)] == ["endpoint.retired", "endpoint.brought_back"]


def test_an_endpoint_that_is_down_says_since_when_why_and_what_waits(sign_in: SignIn, session: Session) -> None:
    endpoint = make_tested(session)
    use(session, endpoint)
    wait_for_it(session, 2)
    for _ in range(10):
        actions.note_failure(session, endpoint.id, "It does not answer in time.")
    session.refresh(endpoint)
    page = sign_in("elm").get("/prefilter/endpoints").text
    assert "Down since " in page
    assert "It does not answer in time. 10 calls in a row failed; 2 candidates wait." in page


# --- the system page's check ----------------------------------------------------------------------


def checked(session: Session) -> tuple[str, str]:
    check = checks.language_model(session)
    return check.state, check.text


def test_the_check_follows_the_endpoint_in_use_alone(session: Session) -> None:
    endpoint = make_tested(session, name="Our llama")
    assert checked(session) == ("ok", "none is in use; rules alone clean captions")
    use(session, endpoint)
    assert checked(session) == ("ok", "Our llama answers (drawn-7b), tested 01 Nov, 00:00 UTC")
    actions.note_failure(session, endpoint.id, "It fails (500).")
    session.refresh(endpoint)
    assert checked(session) == ("warn", "Our llama did not answer its last call")
    wait_for_it(session, 1)
    for _ in range(9):
        actions.note_failure(session, endpoint.id, "It fails (500).")
    session.refresh(endpoint)
    state, text = checked(session)
    assert state == "bad"
    assert text.startswith("Our llama is down since ")
    assert f" and not called before {endpoint.open_until:%H:%M}" in text
    assert text.endswith("; 1 candidate waits")


def test_the_check_warns_of_an_endpoint_that_was_never_tested_or_failed_its_test(session: Session) -> None:
    use(session, make_endpoint(session, name="Our llama"))
    assert checked(session) == ("warn", "Our llama was never tested")
    failed = make_tested(session, name="Other", test={"answers": False, "why": "It fails (500)."}, failures=1)
    use(session, failed)
    assert checked(session) == ("warn", "Other did not answer its last call")
    actions.note_success(session, failed.id)
    session.refresh(failed)
    assert checked(session) == ("ok", "Other answers (drawn-7b), tested 01 Nov, 00:00 UTC")
    use(session, make_tested(session, name="Third", rung=None))
    assert checked(session) == ("bad", "Third can't be used")
