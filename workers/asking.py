"""Putting a question a candidate to a language model, several at once, and none that it has answered before."""

import hashlib
import io
import json
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

from PIL import Image as Picture

from app import jobs
from app.db import transaction
from app.endpoints import queries as endpoints
from app.endpoints.policies import cost
from app.jobs import RunningJob
from app.prefilter.policies import StageInput
from app.prompts import actions, queries, sendable
from app.prompts.actions import Given
from app.prompts.answers import Answer, question
from app.prompts.policies import Budget, is_spent
from app.prompts.queries import Question
from app.prompts.trials import base_of
from app.storage import blobs
from app.tables import Endpoint, LlmAnswer, Prompt, Rung
from workers import locks
from workers.chat import Chat, EndpointDown, InvalidAnswer
from workers.ml.pictures import decode

BEGINS_WITHIN = 20.0  # seconds in which calls of a batch may begin; what is left is asked in the next
LONG_SIDE = 1024  # pixels
FEW = 3  # questions that a server may fail at, one after the other, before it counts as down
FAILS = "the model's server fails at this one, though it answers others"
PROOF = "Basal cell carcinoma of the skin, H&E."


@dataclass(frozen=True)
class Side:
    """A model and what it is asked."""

    endpoint: Endpoint
    prompt: Prompt
    with_picture: bool


def side(endpoint_id: int, prompt_id: int, *, with_picture: bool) -> Side:
    """Raises NotFound."""
    with transaction() as session:
        endpoint = endpoints.endpoint(session, endpoint_id)
        return Side(endpoint, queries.prompt(session, prompt_id), with_picture and endpoint.takes_pictures)


@dataclass(frozen=True)
class Answered:
    """What a model said of one candidate, or `why` that is no valid answer. `text_id` is where its words are kept.

    `model` is what the server calls it, with the server's fingerprint. Where the server fails at the question there
    are no words, and `text_id` is 0.
    """

    answer: Answer | None
    text_id: int
    model: str
    rung: Rung
    tokens_in: int
    tokens_out: int
    cost: float
    is_cached: bool
    why: str = ""
    with_picture: bool = False


@dataclass
class Asked:
    """Candidate → what was answered. Who is missing was not asked: the model is `down`, or the budget is spent."""

    answered: dict[int, Answered]
    down: EndpointDown | None = None
    is_spent: bool = False


def ask(side: Side, items: Sequence[StageInput], job: RunningJob, budget: Budget | None = None) -> Asked:
    """Asks about the caption of each candidate as it was before a language model. Raises Cancelled.

    Every answer is kept as soon as it is there, so that nothing is paid for twice if this process dies.
    """
    return _Batch(side, items, job, budget).run()


class _Batch:
    def __init__(self, side: Side, items: Sequence[StageInput], job: RunningJob, budget: Budget | None) -> None:
        self.side, self.job, self.budget = side, job, budget
        self.chat = Chat(side.endpoint, stop=job.stop)
        self.shown = _may_be_shown(items) if side.with_picture else set()
        self.waiting: dict[Question, list[StageInput]] = {}
        for item in items:
            self.waiting.setdefault(self._question(item), []).append(item)
        self.left = deque(self.waiting)
        self.found = Asked({})
        self.aside: list[tuple[Question, EndpointDown]] = []  # at which the server failed
        self.has_heard = False
        self.failed: Exception | None = None
        self.over = threading.Event()
        self.until = time.monotonic() + BEGINS_WITHIN

    def run(self) -> Asked:
        # Daemons, as a call may outlast the worker: its answer would be kept, but nobody waits for it.
        count = min(self.side.endpoint.in_flight, len(self.left))
        threads = [threading.Thread(target=self._work, name=f"ask-{n}", daemon=True) for n in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.5)
                self._check()
        if self.failed:
            raise self.failed
        if self.aside and not (self.found.down or self.found.is_spent):
            self._settle()
        return self.found

    def _settle(self) -> None:
        """What the server failed at is an error of its own where it answers something else now; else it is down."""
        if (self.has_heard or len(self.waiting) <= FEW) and self._answers():
            for asked, _ in self.aside:
                made = replace(self._invalid(FAILS), with_picture=bool(asked.image_sha256))
                self.found.answered |= {item.candidate_id: made for item in self.waiting[asked]}
        else:
            self.found.down = self.aside[-1][1]

    def _answers(self) -> bool:
        try:
            self.chat.ask(self.side.prompt.text, question(PROOF), Answer)
        except EndpointDown:
            return False
        except InvalidAnswer:
            pass
        return True

    def _check(self) -> None:
        try:
            self.job.check()
        except jobs.Cancelled:
            self.over.set()
            raise

    def _work(self) -> None:
        while not self.over.is_set() and (time.monotonic() < self.until or self._is_open()):
            try:
                asked = self.left.popleft()
            except IndexError:
                return
            try:
                self._put(asked)
            except EndpointDown as down:
                self._failed_at(asked, down)
            except jobs.Cancelled:
                self.over.set()
            except Exception as error:
                self.failed = error
                self.over.set()

    def _is_open(self) -> bool:
        """Whether another question shall tell if the server is down or only failed at the ones put aside."""
        return bool(self.aside) and not self.has_heard

    def _failed_at(self, asked: Question, down: EndpointDown) -> None:
        if down.by_question:
            self.aside.append((asked, down))
            if not self.has_heard and len(self.aside) >= FEW:
                self.over.set()
        else:
            self.found.down = down
            self.over.set()

    def _put(self, asked: Question) -> None:
        items = self.waiting[asked]
        with locks.one_of([locks.key("question", *astuple(asked))], self.chat.wait):
            answered, text = self._answer(asked, items[0])
        if answered is None:
            return
        for item in items:
            of_item = self._of(item, answered, text)
            self.found.answered[item.candidate_id] = replace(of_item, with_picture=bool(asked.image_sha256))

    def _answer(self, asked: Question, item: StageInput) -> tuple[Answered | None, str]:
        """What was answered before, or is now, and its words; None where the budget is spent.

        Nobody else asks the same meanwhile: they wait, and find the answer.
        """
        with transaction() as session:
            if known := queries.known_answer(session, asked):
                return _again(*known), known[1]
            if self.budget and is_spent(self.budget, queries.spent(session, self.budget.begins)):
                self.found.is_spent = True
                self.over.set()
                return None, ""
        answered = self._call(asked, item)
        return answered, _text(answered)

    def _of(self, item: StageInput, answered: Answered, text: str) -> Answered:
        """The same answer about another candidate with the same caption: its words are kept as that one's too."""
        with transaction() as session:
            return replace(answered, text_id=actions.keep_text(session, item.candidate_id, text))

    def _call(self, asked: Question, item: StageInput) -> Answered:
        jpeg = small_jpeg(blobs().get(item.image_sha256)) if asked.image_sha256 else None
        endpoint = self.side.endpoint
        try:
            reply = self.chat.ask(self.side.prompt.text, question(base_of(item)), Answer, jpeg)
        except InvalidAnswer as error:
            made = replace(self._invalid(error.why), tokens_in=error.tokens_in, tokens_out=error.tokens_out)
            seconds = 0.0
        else:
            answer = Answer.model_validate(reply.answer)
            named = f"{reply.model} {reply.fingerprint}".strip()
            made = Answered(answer, 0, named, reply.rung, reply.tokens_in, reply.tokens_out, 0.0, False)
            seconds = reply.seconds
        self.has_heard = True
        made = replace(made, cost=cost(endpoint, made.tokens_in, made.tokens_out))
        given = Given(_text(made), made.model, made.rung, made.tokens_in, made.tokens_out, made.cost, seconds)
        with transaction() as session:
            actions.keep_answer(session, asked, item.candidate_id, given, self.job.id)
        return made

    def _invalid(self, why: str) -> Answered:
        return Answered(None, 0, "", self.side.endpoint.rung or Rung.PROMPT, 0, 0, 0.0, False, why)

    def _question(self, item: StageInput) -> Question:
        return Question(
            self.side.endpoint.id,
            self.side.endpoint.model,
            self.side.prompt.id,
            hashlib.sha256(question(base_of(item)).encode()).hexdigest(),
            item.image_sha256 if item.candidate_id in self.shown else "",
        )


def _may_be_shown(items: Sequence[StageInput]) -> set[int]:
    with transaction() as session:
        return sendable.pictures(session, [item.candidate_id for item in items])


def _text(answered: Answered) -> str:
    return answered.answer.model_dump_json() if answered.answer else ""


def _again(row: LlmAnswer, text: str) -> Answered:
    answer = Answer.model_validate(json.loads(text))
    return Answered(answer, row.text_id, row.answered_as, row.rung, row.tokens_in, row.tokens_out, row.cost, True)


def small_jpeg(data: bytes) -> bytes:
    """A picture's JPEG with its longer side at most 1,024 px."""
    with decode(data, LONG_SIDE) as picture:
        picture.thumbnail((LONG_SIDE, LONG_SIDE), Picture.Resampling.LANCZOS)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
