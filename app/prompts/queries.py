"""What the pages of prompts, the language-model stage and its trials read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, exists, func, or_, select
from sqlalchemy.orm import Session

from app import jobs
from app.candidates.queries import withheld
from app.errors import NotFound
from app.prefilter.queries import stage_row
from app.prompts import policies, sendable
from app.prompts.policies import Spent, Wanted
from app.prompts.sendable import LeftOut
from app.tables import (
    Candidate,
    CandidateState,
    Caption,
    Endpoint,
    EvidenceText,
    Image,
    Job,
    LlmAnswer,
    Prompt,
    ReviewReason,
    StageTodo,
    Trial,
    User,
)

S = CandidateState
RECENT = timedelta(minutes=10)
PAUSE = timedelta(minutes=1)
# Reasons of a rejection that say nothing of whether picture and caption are relevant.
NOT_ABOUT_RELEVANCE = ("person_recognisable", "duplicate", "image_too_poor", "unclear_panels")


def wanted(session: Session) -> Wanted:
    """The setting in force."""
    return Wanted.read(stage_row(session, "llm").setting)


# --- prompts ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Version:
    """A version of the prompt, who wrote it, and how many answers it has."""

    prompt: Prompt
    by: str
    answers: int


def versions(session: Session) -> list[Version]:
    """All versions, the newest first."""
    answers = select(func.count()).where(LlmAnswer.prompt_id == Prompt.id).scalar_subquery()
    rows = session.execute(
        select(Prompt, func.coalesce(User.name, "the app"), answers)
        .outerjoin(User, User.id == Prompt.made_by)
        .order_by(Prompt.version.desc())
    )
    return [Version(*row) for row in rows]


def prompt(session: Session, prompt_id: int) -> Prompt:
    """Raises NotFound."""
    found = session.get(Prompt, prompt_id)
    if found is None:
        raise NotFound(f"There is no prompt {prompt_id}.")
    return found


# --- answers ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """What makes two calls the same: model, prompt, caption, and picture ('' for none)."""

    endpoint_id: int
    model: str
    prompt_id: int
    caption_sha256: str
    image_sha256: str = ""


def known_answer(session: Session, question: Question) -> tuple[LlmAnswer, str] | None:
    """The valid answer to exactly this question, and its text; None where a takedown blanked it, too."""
    row = session.execute(
        select(LlmAnswer, func.coalesce(EvidenceText.text, ""))
        .join(EvidenceText, EvidenceText.id == LlmAnswer.text_id)
        .where(
            LlmAnswer.endpoint_id == question.endpoint_id,
            LlmAnswer.model == question.model,
            LlmAnswer.prompt_id == question.prompt_id,
            LlmAnswer.caption_sha256 == question.caption_sha256,
            LlmAnswer.image_sha256 == question.image_sha256,
            EvidenceText.text != "",
        )
    ).one_or_none()
    return (row[0], row[1]) if row else None


def spent(session: Session, since: datetime | None = None) -> Spent:
    """What all answers since then cost, trials among them."""
    statement = select(
        func.coalesce(func.sum(LlmAnswer.cost), 0.0),
        func.coalesce(func.sum(LlmAnswer.tokens_in), 0),
        func.coalesce(func.sum(LlmAnswer.tokens_out), 0),
        func.count(),
    )
    row = session.execute(statement if since is None else statement.where(LlmAnswer.at >= since)).one()
    return Spent(float(row[0]), int(row[1]), int(row[2]), row[3])


def is_spent(session: Session) -> bool:
    """Whether nothing may be asked any more."""
    budget = wanted(session).budget
    return budget is not None and policies.is_spent(budget, spent(session, budget.begins))


@dataclass(frozen=True)
class Pace:
    """How many candidates wait for the stage, `ahead` of them went on without it; answers a minute while it asks."""

    waiting: int
    ahead: int
    per_minute: float

    @property
    def seconds_left(self) -> float | None:
        return 60 * self.waiting / self.per_minute if self.per_minute else None


def pace(session: Session) -> Pace:
    waits = select(func.count()).select_from(StageTodo).where(StageTodo.stage == "llm")
    later = select(StageTodo.candidate_id).where(StageTodo.stage != "llm")
    ahead = waits.join(Candidate, Candidate.id == StageTodo.candidate_id).where(
        or_(Candidate.state != S.FILTERING, StageTodo.candidate_id.in_(later))
    )
    return Pace(session.scalar(waits) or 0, session.scalar(ahead) or 0, _per_minute(session))


def _per_minute(session: Session) -> float:
    """Answers to the stage itself by the minutes in which it asked. One after a pause took as long as its own call."""
    since = func.clock_timestamp() - RECENT
    gap = func.extract("epoch", LlmAnswer.at - func.lag(LlmAnswer.at).over(order_by=LlmAnswer.at))
    took = case((gap <= PAUSE.total_seconds(), gap), else_=LlmAnswer.seconds).label("took")
    of_stage = select(Job.id).where(Job.id == LlmAnswer.job_id, Job.kind == "prefilter")
    each = select(took).where(LlmAnswer.at > since, of_stage.exists()).subquery()
    count, seconds = session.execute(select(func.count(), func.sum(each.c.took))).one()
    return 60 * count / max(float(seconds), 0.001) if count else 0.0


def stage_job(session: Session) -> Job | None:
    """The job of the stage that waits or runs."""
    of_stage = (Job.kind == "prefilter") & (Job.arguments["stage"].astext == "llm")
    return session.scalars(select(Job).where(of_stage, Job.state.in_(jobs.OPEN)).limit(1)).one_or_none()


# --- trials -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrialShown:
    """A trial with its job and who asked for it."""

    trial: Trial
    job: Job | None
    by: str

    @property
    def runs(self) -> bool:
        return self.job is not None and self.job.state in jobs.OPEN


def _trials() -> Any:
    return (
        select(Trial, Job, func.coalesce(User.name, "system"))
        .outerjoin(Job, Job.id == Trial.job_id)
        .outerjoin(User, User.id == Trial.made_by)
    )


def trial(session: Session, trial_id: int) -> TrialShown:
    """Raises NotFound."""
    row = session.execute(_trials().where(Trial.id == trial_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no trial {trial_id}.")
    return TrialShown(*row)


def trials(session: Session, limit: int = 10) -> list[TrialShown]:
    """The last ones, newest first."""
    rows = session.execute(_trials().order_by(Trial.id.desc()).limit(limit))
    return [TrialShown(*row) for row in rows]


@dataclass(frozen=True)
class SideShown:
    """A side of a trial by the names of what it asked."""

    endpoint: Endpoint
    prompt: Prompt
    with_picture: bool

    @property
    def title(self) -> str:
        return f"Version {self.prompt.version} on {self.endpoint.name}{', with picture' if self.with_picture else ''}"


def sides(session: Session, trial: Trial) -> list[SideShown]:
    return [
        SideShown(
            session.get_one(Endpoint, one["endpoint"]), session.get_one(Prompt, one["prompt"]), one["with_picture"]
        )
        for one in trial.sides
    ]


@dataclass(frozen=True)
class Drawn:
    """Candidates by lot; where they are fewer than wanted, how many are left out and why."""

    candidates: list[int]
    left_out: LeftOut | None = None


def some_candidates(session: Session, count: int, draw: int) -> Drawn:
    """Candidates with a caption that may be sent; `draw` is the lot's number."""
    return _drawn(session, sendable.ALIVE | withheld(), count, draw)


def decided_candidates(session: Session, count: int, draw: int = 0) -> Drawn:
    """Candidates that people accepted or rejected, by lot: the same ones for the same `draw`, while none is added."""
    return _drawn(session, Candidate.state.in_([S.ACCEPTED, S.REJECTED]), count, draw)


def _drawn(session: Session, condition: ColumnElement[bool], count: int, draw: int) -> Drawn:
    lot = func.hashtextextended(func.concat(Candidate.id), draw)
    caption = select(Caption.id).where(Caption.id == Candidate.caption_id, func.btrim(Caption.text) != "")
    pool = condition & caption.exists()
    statement = select(Candidate.id).where(pool, sendable.may_be_sent()).order_by(lot, Candidate.id).limit(count)
    drawn = sorted(session.scalars(statement))
    return Drawn(drawn, sendable.left_out(session, pool) if len(drawn) < count else None)


@dataclass(frozen=True)
class Judged:
    """What people made of a candidate: whether they accepted it, and the caption that is published of it.

    `is_other` where they rejected it, but for no reason that has to do with relevance.
    """

    accepted: bool
    published: str | None
    is_other: bool = False


def judgements(session: Session, candidate_ids: Sequence[int]) -> dict[int, Judged]:
    """Those of the candidates that are accepted or rejected now."""
    of_review = ReviewReason.review_id == Candidate.settled_by
    other = ReviewReason.reason.in_(NOT_ABOUT_RELEVANCE)
    with_one, with_another = (exists().where(of_review, of).correlate(Candidate) for of in (other, ~other))
    rows = session.execute(
        select(Candidate.id, Candidate.state, Caption.text, with_one & ~with_another)
        .outerjoin(Caption, Caption.id == Candidate.settled_caption_id)
        .where(Candidate.id.in_(candidate_ids), Candidate.state.in_([S.ACCEPTED, S.REJECTED]))
    )
    return {id_: Judged(state is S.ACCEPTED, text, is_other) for id_, state, text, is_other in rows}


def pictures(session: Session, candidate_ids: Sequence[int]) -> dict[int, str]:
    """Candidate → the SHA-256 of its picture, of those that nobody withdrew."""
    rows = session.execute(
        select(Candidate.id, Image.sha256)
        .join(Image, Image.id == Candidate.image_id)
        .where(Candidate.id.in_(candidate_ids), Candidate.state != S.WITHDRAWN)
    )
    return {id_: sha256 for id_, sha256 in rows}


def answer_texts(session: Session, text_ids: Sequence[int]) -> dict[int, str]:
    """Answers by the ids of their texts, without those that were blanked."""
    rows = session.execute(
        select(EvidenceText.id, func.coalesce(EvidenceText.text, "")).where(
            EvidenceText.id.in_(text_ids), EvidenceText.text != ""
        )
    )
    return {id_: text for id_, text in rows}
