"""Sixty captions against a server that misbehaves in every way: no candidate is lost, and no secret is told."""

import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import zip_longest

import pytest
from sqlalchemy import func, select, text, update

from app.db import Base, engine, transaction
from app.tables import CandidateState, Endpoint, Finding, Job, JobState, Outcome, StageTodo
from tests.endpoints.server import (
    Answer,
    Asked,
    Behaviour,
    ModelServer,
    drips,
    fails,
    floods,
    hangs,
    redirects,
    resets,
    says,
)
from tests.prefilter.test_llm_stage import HOSTILE, ORDERS
from tests.prefilter.test_pipeline import quiet, states  # noqa: F401  # `quiet` is a fixture
from tests.prompts.emptied import database_of_module, emptied  # noqa: F401  # fixtures
from tests.prompts.models import caption_in, make_endpoint, repeats, set_up
from tests.prompts.stage import CAPTION, arrive, finding, last, run_due

pytestmark = pytest.mark.usefixtures("emptied", "quiet")
S = CandidateState
KEY = "sk-sentinel-60c1"
BETTER = "Basal cell carcinoma of the skin, peripheral palisading. H&E, 10x."
QUOTED = json.dumps({"error": {"message": f"Incorrect API key: {KEY}"}}).encode()


def good(asked: Asked) -> dict[str, object]:
    return dict(repeats(caption=caption_in(asked).replace(CAPTION, BETTER))(asked))


def written(asked: Asked) -> str:
    return json.dumps(good(asked))


# What the server does at a question, each time that it is asked.
ALWAYS: dict[str, Behaviour] = {
    "hangs": hangs(),
    "drips": drips(),
    "fails": fails(500, QUOTED),
    "half": says(lambda asked: written(asked)[:-20]),
    "prose": says(f"Certainly! My key is {KEY}."),
    "wrong schema": says({"relevant": "perhaps", "key": KEY}),
    "floods": floods(),
    "nothing": says(None),
}
# The same, but it gives a good answer in its own way.
OTHERWISE: dict[str, Behaviour] = {
    "fences": says(lambda asked: f"Here it is:\n```json\n{written(asked)}\n```"),
    "thinks": says(lambda asked: f"<think>The user says {{}}</think>{written(asked)}"),
    "more than the schema allows": says(lambda asked: good(asked) | {"note": "as you wish"}),
    "reasoning": lambda asked, answer: says(None, reasoning_content=written(asked))(asked, answer),
}
# What it does at a question once, before it answers.
ONCE: dict[str, Behaviour] = {
    "busy": fails(429, QUOTED, retry_after="1"),
    "resets": resets(),
    "redirects": redirects(f"http://169.254.169.254/{KEY}"),
    "out of order": fails(503, QUOTED),
    "refuses the key": fails(401, QUOTED),
}


@dataclass
class Moody:
    """Behaves by what the caption begins with; counts what it did."""

    did: Counter[str] = field(default_factory=Counter)

    def __call__(self, asked: Asked, answer: Answer) -> None:
        mood = caption_in(asked).partition(": ")[0]
        first = not self.did[mood]
        self.did[mood] += 1
        if mood in ALWAYS:
            ALWAYS[mood](asked, answer)
        elif mood in OTHERWISE:
            OTHERWISE[mood](asked, answer)
        elif mood in ONCE and first:
            ONCE[mood](asked, answer)
        elif any(order in caption_in(asked) for order in ORDERS):
            says(repeats(caption=f"CANARY {KEY}"))(asked, answer)
        else:
            says(good)(asked, answer)


def captions() -> list[str]:
    moods = [*ALWAYS, *OTHERWISE, *ONCE]
    hostile = [*HOSTILE.values(), *(f"Skin biopsy. {order}" for order in ORDERS)]
    plain = [f"plain {number}: {CAPTION}" for number in range(60 - len(moods) - len(hostile))]
    odd = [*(f"{mood}: {CAPTION}" for mood in moods), *hostile]
    return [caption for pair in zip_longest(odd, plain) for caption in pair if caption]


def until(happened: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        run_due()
        time.sleep(0.2)


def nothing_waits() -> bool:
    with transaction() as session:
        session.execute(update(Endpoint).values(open_until=func.least(Endpoint.open_until, func.clock_timestamp())))
        return not session.scalar(select(func.count()).select_from(StageTodo))


def everything_stored() -> str:
    with engine().connect() as connection:
        tables = [table.name for table in Base.metadata.sorted_tables]
        rows = [connection.scalars(text(f'SELECT to_jsonb(t)::text FROM "{name}" t')).all() for name in tables]
    return "\n".join(row for table in rows for row in table)


def test_sixty_captions_at_a_server_that_does_everything_wrong(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("IPATH_LLM_KEY_OURS", KEY)
    caplog.set_level(logging.INFO)
    with ModelServer(moody := Moody()) as server:
        with transaction() as session:
            endpoint = make_endpoint(session, server, key="OURS", timeout_seconds=1, max_tokens=64)
            set_up(session, endpoint)
            ids = {caption: arrive(session, caption) for caption in captions()}
        until(nothing_waits)
        assert len(ids) == 60
        assert all(asked.headers["authorization"] == f"Bearer {KEY}" for asked in server.asked)
    moods = [*ALWAYS, *OTHERWISE, *ONCE]
    assert [mood for mood in moods if not moody.did[mood]] == []

    found = {caption: finding(id_) for caption, id_ in ids.items()}
    by_mood = {caption.partition(": ")[0]: one for caption, one in found.items()}
    assert {mood: by_mood[mood].outcome for mood in moods} == dict.fromkeys(ALWAYS, Outcome.ERROR) | dict.fromkeys(
        [*OTHERWISE, *ONCE], Outcome.OK
    )
    assert all(by_mood[mood].evidence["why"] for mood in ALWAYS)
    assert set(states().values()) == {(S.QUEUED, None)}, "it stopped nobody"
    for caption, id_ in ids.items():
        mood, _, said = caption.partition(": ")
        if said == CAPTION:
            wanted = (caption, "import") if mood in ALWAYS else (f"{mood}: {BETTER}", "llm 1")
            assert last(id_) == wanted, mood
        elif any(order in caption for order in ORDERS):
            assert last(id_) == (caption, "import")
    with transaction() as session:
        assert session.scalar(select(func.count()).where(Finding.stage == "llm", Finding.outcome == Outcome.OK)) == 52
        assert session.scalars(select(Job.state).distinct()).all() == [JobState.SUCCEEDED]
    telling = [row for row in everything_stored().splitlines() if KEY in row]
    assert len(telling) == len(ORDERS), "what a model answers as asked is kept as its words, and offered to nobody"
    assert all("llm_answer" in row and "CANARY" in row for row in telling)
    assert KEY not in caplog.text + "".join(capfd.readouterr())
