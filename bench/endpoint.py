"""Calls of a language model: how many are in flight and how fast they go, at a fast server in a process of its own."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

from bench.figures import Figure, percentiles
from bench.ground import Ground
from bench.processes import in_fresh_process

AT_ONCE = (1, 8, 32)
LATENCY = 0.05  # seconds that the server takes for an answer: far less than any model
SECONDS = 10.0  # for each count of calls at once
ANSWER = {"word": "yes", "caption": "Basal cell carcinoma, nodular type."}
ASKED = "Histopathology of a nodular basal cell carcinoma, H&E, 10x. " * 10


@dataclass(frozen=True)
class Made:
    rate: float
    bare: float
    median: float
    ninety_fifth: float
    most_at_once: int


def run(ground: Ground) -> list[Figure]:
    seconds = max(1.0, SECONDS * ground.scale)
    figures = []
    with ground.place() as environment:
        for count in AT_ONCE:
            made = in_fresh_process(environment, measure, count, seconds)
            ideal = f"{count / LATENCY:,.0f}/s if calls cost nothing; {made.bare:,.0f}/s for the openai library alone"
            took = f"the server takes {1000 * LATENCY:.0f} ms of it; p95 {1000 * made.ninety_fifth:.0f} ms"
            figures += [
                Figure(f"{count} calls at once: rate", made.rate, "/s", ideal),
                Figure(f"{count} calls at once: p50", 1000 * made.median, "ms", took),
                Figure(f"{count} calls at once: most in flight", made.most_at_once, "", at_least=count),
            ]
    return figures


def measure(count: int, seconds: float) -> Made:
    import openai

    from app.db import transaction
    from tests.endpoints.calling import Word
    from tests.factories import make_endpoint
    from workers.chat import Chat

    with server() as (url, most_at_once):
        with transaction() as session:
            row = make_endpoint(session, name=f"{count} at once", base_url=url, in_flight=count)
        chat = Chat(row)
        taken, rate = repeated(lambda: chat.ask("Say yes or no.", ASKED, Word), count, seconds)
        at_once = most_at_once()
        library = openai.OpenAI(api_key="none", base_url=url, max_retries=0)
        messages = [{"role": "system", "content": "Say yes or no."}, {"role": "user", "content": ASKED}]
        _, bare = repeated(lambda: library.chat.completions.create(model="m", messages=messages), count, seconds)  # type: ignore[arg-type]
    return Made(rate, bare, *percentiles(taken), at_once)


def repeated(call: Callable[[], object], count: int, seconds: float) -> tuple[list[float], float]:
    """The seconds of each call by so many threads for so long, after one each to warm up; and calls a second."""

    def one(until: float) -> list[float]:
        taken = []
        while (began := time.perf_counter()) < until:
            call()
            taken.append(time.perf_counter() - began)
        return taken

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda _: call(), range(count)))
        began = time.perf_counter()
        taken = [one for some in pool.map(one, [began + seconds] * count) for one in some]
        return taken, len(taken) / (time.perf_counter() - began)


@contextmanager
def server() -> Iterator[tuple[str, Callable[[], int]]]:
    """Its base URL, and a way to ask how many requests it had open together."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()

    def most_at_once() -> int:
        ours.send(None)
        return int(ours.recv())

    try:
        yield ours.recv(), most_at_once
    finally:
        process.terminate()
        process.join()


def serve(pipe: Connection) -> None:
    from tests.endpoints.server import Answer, Asked, ModelServer, completion

    body = json.dumps(completion(json.dumps(ANSWER))).encode()

    def behave(_asked: Asked, answer: Answer) -> None:
        answer.wait(LATENCY)
        answer.send(200, body)

    with ModelServer(behave) as running:
        pipe.send(running.url)
        while True:
            pipe.recv()
            pipe.send(running.most_at_once)
