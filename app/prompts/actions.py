"""What admins do with prompts, and how answers are kept. A worker's job does the asking."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import Actor
from app.endpoints import queries as endpoint_queries
from app.errors import Conflict, Invalid
from app.prefilter import due
from app.prefilter.stages import BY_NAME
from app.prompts import queries
from app.prompts.policies import Budget, Mode, Wanted
from app.prompts.queries import Drawn, Question
from app.tables import (
    Candidate,
    CandidateState,
    EvidenceKind,
    EvidenceText,
    Job,
    LlmAnswer,
    Prompt,
    Rung,
    Stage,
    Trial,
    TrialKind,
    WorkQueue,
)

TRIED = 10
TEXT_LIMIT = 20_000


def add_prompt(session: Session, actor: Actor, text: str, note: str) -> Prompt:
    """A new version. Raises Invalid for an empty, an overlong or an unchanged one."""
    plain = text.replace("\r\n", "\n").strip() + "\n"
    if not plain.strip():
        raise Invalid("A prompt needs text.", fields={"text": "Write what the model is asked."})
    if len(plain) > TEXT_LIMIT:
        raise Invalid("The prompt is too long.", fields={"text": f"Use at most {TEXT_LIMIT:,} characters."})
    if same := session.scalar(select(Prompt.version).where(Prompt.text == plain)):
        raise Invalid("Nothing changed.", fields={"text": f"Version {same} says exactly this already."})
    session.execute(select(Stage).where(Stage.name == "llm").with_for_update())  # one number at a time
    newest = session.scalar(select(func.max(Prompt.version))) or 0
    made = Prompt(version=newest + 1, note=note.strip(), text=plain, made_by=actor.user_id)
    session.add(made)
    session.flush()
    jobs.record(session, "prompt.added", "prompt", made.version, user_id=actor.user_id, details={"note": made.note})
    return made


# --- the setting --------------------------------------------------------------------------------


def use(session: Session, actor: Actor, prompt_id: int, endpoint_id: int) -> Job:
    """Takes a prompt and a model into use; undecided candidates go through the stage again.

    Raises NotFound, and Conflict for an endpoint that is retired.
    """
    prompt, endpoint = queries.prompt(session, prompt_id), endpoint_queries.endpoint(session, endpoint_id)
    if endpoint.retired:
        raise Conflict(f"The endpoint {endpoint.name} is retired.", "Choose another one.")
    row = _locked(session)
    before = Wanted.read(row.setting)
    after = replace(before, prompt=prompt.id, endpoint=endpoint.id)
    if not endpoint.takes_pictures:
        after = replace(after, with_picture=False)
    details = {"from": _named(session, before), "to": _named(session, after)}
    _write(session, row, after)
    jobs.record(session, "prompt.used", "prompt", prompt.version, user_id=actor.user_id, details=details)
    return _everyone_again(session, actor)


def _named(session: Session, wanted: Wanted) -> str | None:
    if wanted.endpoint is None or wanted.prompt is None:
        return None
    endpoint = endpoint_queries.endpoint(session, wanted.endpoint)
    return f"version {queries.prompt(session, wanted.prompt).version} on {endpoint.name}"


def stop_using(session: Session, actor: Actor) -> None:
    """No model is asked any more; what was proposed stays. What waited for one goes on without."""
    row = _locked(session)
    before = Wanted.read(row.setting)
    if not before.is_set_up:
        return
    details = {"from": _named(session, before), "to": None}
    _write(session, row, replace(before, prompt=None, endpoint=None))
    jobs.record(session, "prompt.stopped", "stage", "llm", user_id=actor.user_id, details=details)


@dataclass(frozen=True)
class Changes:
    """The part of the setting that one form changes. A budget counts from when it is set; None for none."""

    mode: Mode
    required: bool
    with_picture: bool
    min_support: float
    cost: float | None
    tokens: int | None


def change_setting(session: Session, actor: Actor, changes: Changes) -> None:
    """Saves, and starts the jobs that follow from it. Raises Invalid for pictures that the model does not take."""
    row = _locked(session)
    before = Wanted.read(row.setting)
    if (
        changes.with_picture
        and before.endpoint
        and not endpoint_queries.endpoint(session, before.endpoint).takes_pictures
    ):
        said = "The model in use takes no pictures, or its endpoint does not say so."
        raise Invalid(said, fields={"with_picture": said})
    after = replace(
        before,
        mode=changes.mode,
        required=changes.required,
        with_picture=changes.with_picture,
        min_support=changes.min_support,
        budget=_budget(session, before.budget, changes),
    )
    if after == before:
        return
    _write(session, row, after)
    details = {"changed": _changed(before, after)}
    jobs.record(session, "prompt.setting_changed", "stage", "llm", user_id=actor.user_id, details=details)
    if (before.with_picture, before.min_support) != (after.with_picture, after.min_support):
        _everyone_again(session, actor)
    if before.required and not after.required:
        due.submit_stage(session, BY_NAME["llm"])  # lets those go on that waited for a silent model or a spent budget
    if before.mode is not after.mode:
        arguments = {"stage": "llm"}
        jobs.submit(session, "threshold", WorkQueue.CPU, arguments, unit="candidates", requested_by=actor.user_id)


def _budget(session: Session, before: Budget | None, changes: Changes) -> Budget | None:
    """The same amounts keep their beginning; raised ones count on, so that they are what is spent in all."""
    if changes.cost is None and changes.tokens is None:
        return None
    now = session.scalars(select(func.clock_timestamp())).one()
    since = before.since if before else now.isoformat()
    return Budget(since, changes.cost, changes.tokens)


def _changed(before: Wanted, after: Wanted) -> dict[str, Any]:
    """Name → [from, to], for an event."""
    old, new = ({**one.as_setting(), "budget": _told(one.budget)} for one in (before, after))
    return {name: [old[name], new[name]] for name in new if old[name] != new[name]}


def _told(budget: Budget | None) -> str:
    parts = [f"cost {budget.cost:g}"] if budget and budget.cost else []
    parts += [f"{budget.tokens:,} tokens"] if budget and budget.tokens else []
    return ", ".join(parts) or "none"


def begin_budget_anew(session: Session, actor: Actor) -> None:
    """What was spent until now does not count any more."""
    row = _locked(session)
    before = Wanted.read(row.setting)
    if before.budget is None:
        raise Conflict("There is no budget.", "Set one first.")
    now = session.scalars(select(func.clock_timestamp())).one()
    _write(session, row, replace(before, budget=replace(before.budget, since=now.isoformat())))
    jobs.record(session, "prompt.budget_begun", "stage", "llm", user_id=actor.user_id)


def stop_at_budget(session: Session, job_id: int) -> None:
    """Pauses the stage, and says why, once."""
    row = _locked(session)
    if row.paused:
        return
    row.paused = True
    session.flush()
    wanted = Wanted.read(row.setting)
    spent = queries.spent(session, wanted.budget.begins if wanted.budget else None)
    details = {"cost": round(spent.cost, 4), "tokens": spent.tokens}
    jobs.record(session, "prompt.budget_spent", "stage", "llm", job_id=job_id, details=details)


def _locked(session: Session) -> Stage:
    return session.scalars(select(Stage).where(Stage.name == "llm").with_for_update()).one()


def _write(session: Session, row: Stage, wanted: Wanted) -> None:
    row.setting, row.changed_at = {**row.setting, **wanted.as_setting()}, func.clock_timestamp()
    session.flush()


def _everyone_again(session: Session, actor: Actor) -> Job:
    """A job of its own for every change: one that runs already would not go back to what it has passed."""
    arguments = {"stage": "llm", "candidates": None}
    return jobs.submit(session, "rerun", WorkQueue.CPU, arguments, unit="candidates", requested_by=actor.user_id)


# --- trials -------------------------------------------------------------------------------------


def try_prompt(session: Session, actor: Actor, prompt_id: int, endpoint_id: int, *, with_picture: bool) -> Trial:
    """Tries a prompt on ten candidates by lot. Raises NotFound, and Conflict when there is none."""
    side = _side(session, prompt_id, endpoint_id, with_picture)
    draw = session.scalar(select(func.count()).select_from(Trial)) or 0
    drawn = queries.some_candidates(session, TRIED, draw)
    if not drawn.candidates:
        said = "There is no candidate with a caption that may be sent."
        raise Conflict(said, "Import posts, and let the stage Private details look at their captions.")
    return _begin(session, actor, TrialKind.TRY, [side], drawn)


def compare(session: Session, actor: Actor, sides: list[tuple[int, int, bool]], count: int) -> Trial:
    """Compares two of (prompt, endpoint, with picture) on decided candidates. Raises NotFound, Invalid, Conflict."""
    made = [_side(session, *side) for side in sides]
    if made[0] == made[1]:
        raise Invalid("Both sides are the same.", fields={"prompt_2": "Choose another version or another model."})
    drawn = queries.decided_candidates(session, count)
    if not drawn.candidates:
        said = "Nobody has decided anything yet whose caption may be sent."
        raise Conflict(said, "Compare once candidates that Private details looked at are accepted or rejected.")
    return _begin(session, actor, TrialKind.COMPARE, made, drawn)


def _side(session: Session, prompt_id: int, endpoint_id: int, with_picture: bool) -> dict[str, Any]:
    prompt, endpoint = queries.prompt(session, prompt_id), endpoint_queries.endpoint(session, endpoint_id)
    if endpoint.retired:
        raise Conflict(f"The endpoint {endpoint.name} is retired.", "Choose another one.")
    with_picture = with_picture and endpoint.takes_pictures
    return {"endpoint": endpoint.id, "prompt": prompt.id, "with_picture": with_picture}


def _begin(session: Session, actor: Actor, kind: TrialKind, sides: list[dict[str, Any]], drawn: Drawn) -> Trial:
    candidates, left_out = drawn.candidates, drawn.left_out
    trial = Trial(kind=kind, sides=sides, candidates=candidates, made_by=actor.user_id)
    trial.result = {"left_out": asdict(left_out)} if left_out else {}
    session.add(trial)
    session.flush()
    named = [side.title for side in queries.sides(session, trial)]
    details = {"kind": kind.value, "sides": named, "candidates": len(candidates)}
    jobs.record(session, "prompt.trial_started", "trial", trial.id, user_id=actor.user_id, details=details)
    job = jobs.submit(
        session,
        "trial",
        WorkQueue.LLM,
        {"trial": trial.id},
        unit="answers",
        total=len(candidates) * len(sides),
        requested_by=actor.user_id,
    )
    trial.job_id = job.id
    session.flush()
    return trial


# --- answers ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Given:
    """An answer as it came. `text` is its JSON, "" where none was valid; what it cost counts all the same."""

    text: str
    answered_as: str
    rung: Rung
    tokens_in: int
    tokens_out: int
    cost: float
    seconds: float


def keep_answer(session: Session, question: Question, candidate_id: int, given: Given, job_id: int | None) -> int:
    """Keeps an answer, so that the same question is not paid for twice. Returns the id of its text.

    Where it was asked before and the answer is gone, what it cost then is added to what it costs now.
    """
    text_id = keep_text(session, candidate_id, given.text)
    values = {
        "text_id": text_id,
        "answered_as": given.answered_as,
        "rung": given.rung,
        "seconds": given.seconds,
        "job_id": job_id,
    }
    spent: Mapping[str, Any] = {
        "tokens_in": given.tokens_in,
        "tokens_out": given.tokens_out,
        "cost": given.cost,
    }
    key = {
        "endpoint_id": question.endpoint_id,
        "model": question.model,
        "prompt_id": question.prompt_id,
        "caption_sha256": question.caption_sha256,
        "image_sha256": question.image_sha256,
    }
    statement = insert(LlmAnswer).values(**key, **values, **spent)
    in_all = {name: getattr(LlmAnswer, name) + statement.excluded[name] for name in spent}
    session.execute(
        statement.on_conflict_do_update(
            index_elements=list(key), set_={**values, **in_all, "at": func.clock_timestamp()}
        )
    )
    return text_id


def keep_text(session: Session, candidate_id: int, text: str) -> int:
    """Words of an answer as evidence of a candidate, once. Returns their id.

    A candidate that was withdrawn meanwhile keeps none.
    """
    state = session.scalar(select(Candidate.state).where(Candidate.id == candidate_id).with_for_update(read=True))
    digest = hashlib.sha256(text.encode()).hexdigest()
    kept = None if state is CandidateState.WITHDRAWN else text
    values = {"candidate_id": candidate_id, "kind": EvidenceKind.LLM_ANSWER, "text": kept, "text_sha256": digest}
    statement = insert(EvidenceText).values(values)
    key = ["candidate_id", "kind", "text_sha256"]
    again = statement.on_conflict_do_update(index_elements=key, index_where=sql("kind <> 'typed'"), set_={"text": kept})
    return session.scalars(again.returning(EvidenceText.id)).one()
