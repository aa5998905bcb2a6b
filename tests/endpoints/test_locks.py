"""An endpoint's limit and a question that is being asked hold over processes, and a process that dies holds nothing."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import func, select

from app.accounts.policies import SYSTEM
from app.db import transaction
from app.jobs import Cancelled
from app.prompts import actions
from app.tables import CandidateState, Job, LlmAnswer
from tests.endpoints.calling import GOOD
from tests.endpoints.server import Answer, Asked, ModelServer, hangs, in_turn, says
from tests.factories import make_candidate
from tests.prefilter.test_pipeline import quiet  # noqa: F401  # a fixture
from tests.prompts.emptied import database_of_module, emptied  # noqa: F401  # fixtures
from tests.prompts.models import first_prompt, look, make_endpoint, repeats
from tests.prompts.stage import CAPTION
from workers import locks

ASKS_SIX_TIMES = """
from concurrent.futures import ThreadPoolExecutor
from tests.endpoints.calling import ask, chat
made = chat({url!r}, id=7, in_flight=2, timeout_seconds=60, per_minute={per_minute})
print("ready", flush=True)
input()
with ThreadPoolExecutor(6) as pool:
    list(pool.map(lambda _: ask(made), range(6)))
"""
RUNS_A_JOB = """
from workers import main
print("ready", flush=True)
input()
main.run_job({job})
"""


@contextmanager
def ready(database: str, code: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has everything loaded and waits for a line before it begins."""
    environment = {**os.environ, "DATABASE_URL": database}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def until(happened: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def slowly(asked: Asked, answer: Answer) -> None:
    answer.wait(0.3)
    says(GOOD)(asked, answer)


@pytest.mark.process
def test_two_processes_together_have_no_more_requests_open_than_the_endpoint_may(database_url: str) -> None:
    with ModelServer(slowly) as server, ExitStack() as stack:
        code = ASKS_SIX_TIMES.format(url=server.url, per_minute=None)
        both = [stack.enter_context(ready(database_url, code)) for _ in range(2)]
        for process in both:
            begin(process)
        assert [process.wait(120) for process in both] == [0, 0]
        assert (len(server.asked), server.most_at_once) == (12, 2)


@pytest.mark.process
def test_two_processes_together_begin_no_more_requests_a_minute_than_the_endpoint_may(database_url: str) -> None:
    begun: list[float] = []

    def behave(asked: Asked, answer: Answer) -> None:
        begun.append(time.monotonic())
        says(GOOD)(asked, answer)

    with ModelServer(behave) as server, ExitStack() as stack:
        code = ASKS_SIX_TIMES.format(url=server.url, per_minute=120)
        both = [stack.enter_context(ready(database_url, code)) for _ in range(2)]
        for process in both:
            begin(process)
        assert [process.wait(120) for process in both] == [0, 0]
    assert len(begun) == 12
    assert max(begun) - min(begun) >= 11 * 0.5 - 0.5  # one may have been long on its way


def two_trials(model: ModelServer) -> list[int]:
    """Two jobs that ask the same question."""
    with transaction() as session:
        look(session, make_candidate(session, CandidateState.QUEUED, CAPTION))
        prompt, endpoint = first_prompt(session), make_endpoint(session, model)
        for _ in range(2):
            actions.try_prompt(session, SYSTEM, prompt.id, endpoint.id, with_picture=False)
        return list(session.scalars(select(Job.id).order_by(Job.id)))


@pytest.mark.process
@pytest.mark.usefixtures("emptied", "quiet")
def test_what_two_processes_ask_at_the_same_time_is_asked_and_paid_for_once(database: str) -> None:
    together = threading.Event()

    def behave(asked: Asked, answer: Answer) -> None:
        together.wait(3)  # long enough for the other one to ask too
        says(repeats())(asked, answer)

    with ModelServer(behave) as model, ExitStack() as stack:
        codes = [RUNS_A_JOB.format(job=job) for job in two_trials(model)]
        both = [stack.enter_context(ready(database, code)) for code in codes]
        for process in both:
            begin(process)
        assert [process.wait(120) for process in both] == [0, 0]
        assert len(model.asked) == 1
    with transaction() as session:
        assert session.scalars(select(Job.state)).all() == ["succeeded", "succeeded"]
        assert session.scalar(select(func.sum(LlmAnswer.tokens_in))) == 100


@pytest.mark.process
@pytest.mark.usefixtures("emptied", "quiet")
def test_a_question_that_a_killed_process_was_asking_is_asked_by_the_next(database: str) -> None:
    with ModelServer(in_turn(hangs(), says(repeats()))) as model, ExitStack() as stack:
        codes = [RUNS_A_JOB.format(job=job) for job in two_trials(model)]
        first, second = [stack.enter_context(ready(database, code)) for code in codes]
        begin(first)
        until(lambda: len(model.asked) == 1)
        begin(second)
        time.sleep(1)
        assert len(model.asked) == 1, "it waits for the first one's answer"
        first.kill()
        assert second.wait(120) == 0
        assert len(model.asked) == 2


@pytest.mark.usefixtures("database_url")
def test_a_lock_that_someone_has_is_waited_for_until_one_is_stopped() -> None:
    def stopped(_: float) -> None:
        raise Cancelled

    mine, other = locks.key("a", 1), locks.key("a", 2)
    with locks.one_of([mine], stopped):
        with pytest.raises(Cancelled), locks.one_of([mine], stopped):
            pass
        with locks.one_of([mine, other], stopped):
            pass
    with locks.one_of([mine], stopped):
        pass
