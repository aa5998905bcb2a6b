"""A language model is asked until it answers as asked, over servers that do everything that servers do."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from app.jobs import Cancelled
from app.tables import Rung
from tests.endpoints.calling import GOOD, SECRET, ask, chat, endpoint
from tests.endpoints.server import (
    FINGERPRINT,
    MODEL,
    Answer,
    Asked,
    Behaviour,
    ModelServer,
    completion,
    drips,
    fails,
    floods,
    hangs,
    in_turn,
    obeys,
    redirects,
    refuses,
    resets,
    says,
)
from workers.chat import Chat, EndpointDown, InvalidAnswer

pytestmark = pytest.mark.usefixtures("database_url")
JSON = json.dumps(GOOD)


@pytest.fixture
def good() -> Iterator[ModelServer]:
    with ModelServer(says(GOOD)) as running:
        yield running


def test_an_answer_says_what_it_took(good: ModelServer) -> None:
    reply = ask(chat(good.url))
    assert reply.answer == GOOD
    assert (reply.model, reply.fingerprint, reply.rung) == (MODEL, FINGERPRINT, Rung.JSON_SCHEMA)
    assert (reply.tokens_in, reply.tokens_out) == (100, 20)
    assert reply.seconds > 0


def test_a_question_is_one_system_prompt_one_text_and_a_plain_schema_that_is_held_to(good: ModelServer) -> None:
    ask(chat(good.url))
    (asked,) = good.asked
    assert asked.path == "/v1/chat/completions"
    assert (asked.system, asked.user, asked.picture) == ("Say yes or no.", SECRET, "")
    assert (asked.body["temperature"], asked.body["seed"], asked.body["max_tokens"]) == (0, 0, 64)
    assert asked.body["response_format"]["json_schema"] == {
        "name": "answer",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"word": {"type": "string", "enum": ["yes", "no"]}, "caption": {"type": "string"}},
            "required": ["word", "caption"],
            "additionalProperties": False,
        },
    }


def test_a_picture_goes_as_data_behind_the_text(good: ModelServer) -> None:
    ask(chat(good.url), b"\xff\xd8picture")
    (asked,) = good.asked
    assert asked.picture == "data:image/jpeg;base64,/9hwaWN0dXJl"
    assert [part["type"] for part in asked.body["messages"][1]["content"]] == ["text", "image_url"]


# --- the ladder -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_takes_no_schema_is_asked_for_json_with_the_schema_in_the_prompt(status: int) -> None:
    behaviour = refuses(lambda asked: asked.format == "json_schema", says(GOOD), status)
    with ModelServer(behaviour) as server:
        made = chat(server.url)
        assert ask(made).rung is Rung.JSON_OBJECT
        assert '"enum": ["yes", "no"]' in server.asked[-1].system
        assert ask(made).rung is Rung.JSON_OBJECT
        assert [asked.format for asked in server.asked].count("json_schema") == 2, "with a seed and without, then never"


def test_a_server_that_takes_no_format_at_all_is_asked_by_the_prompt_alone() -> None:
    with ModelServer(refuses(lambda asked: bool(asked.format), says(f"Here it is: {JSON}"))) as server:
        reply = ask(chat(server.url))
        assert (reply.answer, reply.rung) == (GOOD, Rung.PROMPT)


def test_a_server_that_takes_no_seed_is_asked_without_one_at_the_same_rung() -> None:
    with ModelServer(refuses(lambda asked: "seed" in asked.body, says(GOOD))) as server:
        made = chat(server.url)
        assert ask(made).rung is Rung.JSON_SCHEMA
        assert ask(made).rung is Rung.JSON_SCHEMA
        assert ["seed" in asked.body for asked in server.asked] == [True, False, False]


def test_threads_that_are_refused_together_stay_at_their_rung() -> None:
    together = threading.Barrier(4)

    def behave(asked: Asked, answer: Answer) -> None:
        if "seed" in asked.body:
            together.wait(timeout=30)  # all four are asked with a seed before any is refused
            fails(400)(asked, answer)
        else:
            says(GOOD)(asked, answer)

    with ModelServer(behave) as server, ThreadPoolExecutor(4) as pool:
        made = chat(server.url)
        assert {reply.rung for reply in pool.map(lambda _: ask(made), range(4))} == {Rung.JSON_SCHEMA}
        assert len(server.asked) == 8


def test_a_server_that_names_what_it_does_not_take_is_asked_without_that_alone() -> None:
    behaviour = refuses(lambda asked: "max_tokens" in asked.body, says(GOOD), param="max_tokens")
    with ModelServer(behaviour) as server:
        assert ask(chat(server.url)).rung is Rung.JSON_SCHEMA
        assert server.asked[-1].body["max_completion_tokens"] == 64
        assert "seed" in server.asked[-1].body


def test_a_question_that_is_refused_at_every_rung_is_invalid_and_teaches_nothing() -> None:
    with ModelServer(in_turn(*[refuses(lambda _: True, obeys())] * 4, says(GOOD))) as server:
        made = chat(server.url)
        with pytest.raises(InvalidAnswer, match=r"It refuses the question \(400\)\."):
            ask(made)
        assert ask(made).rung is Rung.JSON_SCHEMA


def test_the_rung_of_a_tested_endpoint_is_where_its_questions_begin(good: ModelServer) -> None:
    assert ask(chat(good.url, rung=Rung.PROMPT)).rung is Rung.PROMPT
    assert [asked.format for asked in good.asked] == [""]


# --- answers of every kind ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        f"```json\n{JSON}\n```",
        f"<think>Could be {{no}}.</think>\n{JSON}",
        f"It is a tumour, so yes.</think>{JSON}",
        f"\ufeff{JSON}",
        f"Sure! Here is the JSON:\n\n{JSON}\n\nLet me know if you need more.",
    ],
)
def test_the_object_is_found_in_what_stands_around_it(content: str) -> None:
    with ModelServer(says(content)) as server:
        assert ask(chat(server.url)).answer == GOOD
        assert len(server.asked) == 1


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("content", [None, ""])
def test_an_answer_that_a_server_puts_beside_the_content_is_found(content: str | None, field: str) -> None:
    with ModelServer(says(content, **{field: JSON})) as server:
        assert ask(chat(server.url)).answer == GOOD


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (JSON[:-9], "The answer's JSON is cut off or broken."),
        ("Yes, it is.", "The answer holds no JSON."),
        (None, "The answer is empty."),
        ('{"word": "perhaps", "caption": ""}', "The answer does not fit: word: Input should be 'yes' or 'no'"),
        ('{"word": "yes"}', "The answer does not fit: caption: Field required"),
        (json.dumps(GOOD | {SECRET: 1}), "The answer does not fit: a field that was not asked for"),
        (f"{JSON} or {JSON}", "The answer holds more than one JSON object."),
        ('["yes"]', "The answer holds no JSON."),
    ],
)
def test_a_wrong_answer_is_asked_for_once_more_with_what_was_wrong(content: str | None, why: str) -> None:
    with ModelServer(in_turn(says(content), says(GOOD))) as server:
        reply = ask(chat(server.url))
        assert (reply.answer, reply.tokens_in, reply.tokens_out) == (GOOD, 200, 40)
        assert server.asked[1].last == f"{why} Answer again, with the JSON object alone."
        assert server.asked[1].user == SECRET
    with ModelServer(says(content)) as server:
        with pytest.raises(InvalidAnswer) as caught:
            ask(chat(server.url))
        assert (caught.value.why, caught.value.tokens_in, len(server.asked)) == (why, 200, 2)
        assert SECRET not in caught.value.why


def test_a_cut_off_answer_is_asked_for_with_twice_the_tokens_and_never_mended() -> None:
    with ModelServer(in_turn(says(JSON[:-2], "length"), says(GOOD))) as server:
        assert ask(chat(server.url)).answer == GOOD
        assert [asked.body["max_tokens"] for asked in server.asked] == [64, 128]
        assert len(server.asked[1].body["messages"]) == 2
    with ModelServer(says(JSON[:-2], "length")) as server:
        with pytest.raises(InvalidAnswer, match="The answer was cut off at 128 tokens"):
            ask(chat(server.url))
        assert len(server.asked) == 2


def test_what_a_model_was_still_thinking_when_it_was_cut_off_is_no_answer() -> None:
    with ModelServer(says(None, "length", reasoning_content=JSON)) as server, pytest.raises(InvalidAnswer, match="128"):
        ask(chat(server.url))


def test_an_answer_is_kept_without_what_no_database_stores() -> None:
    with ModelServer(says('{"word": "yes", "caption": "a\\u0000b\\ud800c"}')) as server:
        assert ask(chat(server.url)).answer["caption"] == "abc"


def test_a_schema_that_is_ignored_with_200_does_not_pass() -> None:
    with ModelServer(says({"verdict": "yes"})) as server, pytest.raises(InvalidAnswer, match="does not fit"):
        ask(chat(server.url))


def test_an_answer_of_ten_megabytes_is_not_read() -> None:
    with ModelServer(floods()) as server:
        with pytest.raises(InvalidAnswer, match=r"The answer is larger than 2 MB\."):
            ask(chat(server.url))
        assert len(server.asked) == 1


# --- servers that do not answer -------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [fails(500), fails(502, b"<html>", content_type="text/html"), resets()])
def test_what_may_pass_is_tried_three_times(trouble: Behaviour) -> None:
    with ModelServer(in_turn(trouble, trouble, says(GOOD))) as server:
        assert ask(chat(server.url)).answer == GOOD
    with ModelServer(trouble) as server:
        with pytest.raises(EndpointDown):
            ask(chat(server.url))
        assert len(server.asked) == 3


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_when_it_says(status: int) -> None:
    with ModelServer(in_turn(fails(status, retry_after="1"), says(GOOD))) as server:
        began = time.monotonic()
        ask(chat(server.url))
        assert time.monotonic() - began >= 1


@pytest.mark.parametrize(
    "after", ["300", format_datetime(datetime.now(UTC) + timedelta(minutes=30), usegmt=True)], ids=["seconds", "date"]
)
def test_a_server_that_is_busy_for_long_holds_up_no_thread(after: str) -> None:
    with ModelServer(fails(429, retry_after=after)) as server:
        with pytest.raises(EndpointDown) as caught:
            ask(chat(server.url))
        assert 60 < caught.value.retry_after <= 600, "ten minutes at most"
        assert len(server.asked) == 1


@pytest.mark.parametrize("trouble", [hangs(), drips()], ids=["hangs", "drips"])
def test_a_server_that_hangs_or_drips_is_given_up_when_the_time_is_over(trouble: Behaviour) -> None:
    with ModelServer(trouble) as server:
        with pytest.raises(EndpointDown, match="It does not answer in time"):
            ask(chat(server.url, timeout_seconds=1))
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        (fails(401), "It does not accept the key (401)."),
        (fails(404), "It knows no such address or model (404): check the base URL and the model's name."),
        (fails(418), "It answers with the status 418."),
        (fails(200, b"<html>", content_type="text/html"), "It answers, but not as a server of OpenAI's kind does"),
        (fails(200, b'{"choices": "none"}'), "It answers, but not as a server of OpenAI's kind does"),
        (fails(200, b'{"choices": [{"message": ["yes"]}]}'), "It answers, but not as a server of OpenAI's kind does"),
        (fails(200, json.dumps(completion(JSON)).encode(), content_encoding="gzip"), "The server compresses"),
    ],
)
def test_what_will_not_pass_is_not_tried_again(behaviour: Behaviour, why: str) -> None:
    with ModelServer(behaviour) as server:
        with pytest.raises(EndpointDown) as caught:
            ask(chat(server.url))
        assert caught.value.why.startswith(why)
        assert len(server.asked) == 1


def test_where_nothing_listens_the_endpoint_is_down() -> None:
    with ModelServer() as server:
        url = server.url
    with pytest.raises(EndpointDown, match="Nothing answers at its address"):
        ask(chat(url))


def test_a_redirect_is_not_followed(good: ModelServer) -> None:
    first = ModelServer(redirects(f"{good.url}/chat/completions"))
    with first, pytest.raises(EndpointDown, match="redirects are not followed"):
        ask(chat(first.url))
    assert good.asked == []


# --- limits ---------------------------------------------------------------------------------------


def test_no_more_requests_are_open_than_the_endpoint_may_have_also_from_two_chats() -> None:
    together = threading.Barrier(3)

    def behave(asked: Asked, answer: Answer) -> None:
        together.wait(timeout=30)  # three at a time, or nobody goes on
        says(GOOD)(asked, answer)

    with ModelServer(behave) as server, ThreadPoolExecutor(12) as pool:
        row = endpoint(server.url, in_flight=3)
        chats = [Chat(row), Chat(row)]
        replies = list(pool.map(lambda number: ask(chats[number % 2]), range(12)))
    assert [reply.answer for reply in replies] == [GOOD] * 12
    assert server.most_at_once == 3


def test_requests_begin_no_faster_than_so_many_a_minute(good: ModelServer) -> None:
    began = time.monotonic()
    made = chat(good.url, per_minute=600)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ask(made), range(6)))
    assert time.monotonic() - began >= 0.5


def test_a_job_that_is_stopped_waits_no_longer() -> None:
    stop = threading.Event()

    def behave(asked: Asked, answer: Answer) -> None:
        stop.set()
        fails(503, retry_after="15")(asked, answer)

    with ModelServer(behave) as server, pytest.raises(Cancelled):
        ask(Chat(endpoint(server.url), stop=stop))
