"""Starting imports, trying again, taking back."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import Actor
from app.curation import moves
from app.errors import Conflict, Invalid
from app.intake import queries
from app.intake.locations import Location
from app.prefilter import actions as prefilter
from app.prefilter import sameness
from app.tables import Consent, Draft, Import, Job, JobState, Source, SourceKind, StageTodo, WorkQueue

AT_ONCE = 1000


@dataclass(frozen=True)
class NewSource:
    """Where posts come from and what the owner said."""

    name: str
    kind: SourceKind = SourceKind.FILES
    consent: Consent = Consent.NOT_ASKED
    consent_note: str = ""
    licence: str = ""


def add_source(session: Session, actor: Actor, new: NewSource) -> Source:
    """The source of that name, made if there is none; one that is there keeps its consent and licence."""
    if not new.name.strip():
        raise Invalid("Give the source a name.", fields={"name": "Give the source a name."})
    values = {
        "name": new.name.strip(),
        "kind": new.kind,
        "consent": new.consent,
        "consent_note": new.consent_note.strip(),
        "licence": new.licence.strip(),
    }
    statement = insert(Source).values(values).on_conflict_do_nothing(index_elements=["name"]).returning(Source)
    made = session.scalars(statement).one_or_none()
    if made is None:
        found = queries.source_by_name(session, values["name"])
        if found is None:
            raise Conflict(f"The source {values['name']} changed meanwhile.", "Send the form again.")
        return found
    details = {"kind": made.kind.value, "consent": made.consent.value}
    jobs.record(session, "source.added", "source", made.id, user_id=actor.user_id, details=details)
    return made


def change_consent(session: Session, actor: Actor, source: Source, consent: Consent, note: str, licence: str) -> None:
    """Records what a source's owner agreed to; the next snapshot goes by it, earlier ones stay as frozen."""
    details = {"from": source.consent.value, "to": consent.value}
    source.consent, source.consent_note, source.licence = consent, note, licence
    session.flush()
    jobs.record(session, "source.consent_changed", "source", source.id, user_id=actor.user_id, details=details)


def start_import(
    session: Session,
    actor: Actor,
    location: Location,
    source: Source,
    *,
    options: dict[str, Any] | None = None,
    retry_of: int | None = None,
) -> Import:
    """An import of `location` and its job; or the import that reads the same place now, if there is one."""
    run = Import(
        source_id=source.id,
        made_by=actor.user_id,
        origin=location.origin,
        location=location.place,
        options=options or {},
        retry_of=retry_of,
    )
    session.add(run)
    session.flush()
    job = _submit(session, actor, run)
    if job.arguments["import"] != run.id:
        session.delete(run)
        session.flush()
        return queries.import_of_job(session, job.arguments["import"])[0]
    run.job_id = job.id
    session.flush()
    details = {"source": source.id, "job": job.id, "retry_of": retry_of}
    jobs.record(session, "import.started", "import", run.id, user_id=actor.user_id, details=details)
    return run


def _submit(session: Session, actor: Actor, run: Import) -> Job:
    place = json.dumps(run.location, sort_keys=True)
    key = f"import:{hashlib.sha256(place.encode()).hexdigest()}"
    arguments = {"import": run.id}
    return jobs.submit(
        session, "import", WorkQueue.CPU, arguments, unit="files", dedupe=key, requested_by=actor.user_id
    )


def try_again(session: Session, actor: Actor, shown: queries.Shown, western: bool = False) -> Import:
    """Goes on with an import that failed or was stopped; of a finished one, tries what was refused.

    `western` confirms that its tables are in Windows' Western encoding. Raises Conflict while it runs, or when
    nothing was refused.
    """
    run = shown.run
    if shown.is_open:
        raise Conflict(f"Import {run.id} is still running.", "Wait for its end, or stop it first.")
    if shown.job.state is not JobState.SUCCEEDED:
        run.job_id = jobs.retry(session, shown.job, actor.user_id).id
        if western:
            run.options = run.options | {"western": True}
        session.flush()
        return run
    if not shown.counts.refused:
        raise Conflict(f"Import {run.id} refused nothing.", "There is nothing to try again.")
    location = Location(run.location, run.origin)
    options = run.options | {"only_refused_of": run.id}
    return start_import(session, actor, location, shown.source, options=options, retry_of=run.id)


def take_back(session: Session, actor: Actor, shown: queries.Shown, typed: int | None) -> queries.TakeBack:
    """Withdraws what an import took and nobody decided or holds. `typed` confirms how many that is.

    Raises Conflict while it runs or when nothing can go, Invalid when `typed` is not the number.
    """
    run = shown.run
    if shown.is_open:
        raise Conflict(f"Import {run.id} is still running.", "Stop it first.")
    taken = queries.taken_candidates(session, run.id)
    free = _lock_free(session, taken)
    if not free:
        raise Conflict("Nothing of this import can be taken back.", "What it took is reviewed, held or gone.")
    if typed != len(free):
        wrong = f"This is another number. Type {len(free)}, the number of candidates that go."
        raise Invalid(wrong, fields={"confirm": wrong})
    _withdraw(session, free)
    _look_again(session, actor, free)
    run.taken_back_at = func.clock_timestamp()
    session.flush()
    result = queries.TakeBack(len(free), len(taken) - len(free))
    details = {"withdrawn": result.go, "kept": result.stay}
    jobs.record(session, "import.taken_back", "import", run.id, user_id=actor.user_id, details=details)
    return result


def _lock_free(session: Session, candidate_ids: Sequence[int]) -> list[int]:
    """Those that nobody decided or holds: locked first, so that no decision or lease slips between."""
    free: list[int] = []
    for batch in _batches(candidate_ids):
        moves.lock(session, batch)
        free += queries.free_of(session, batch)
    return free


def _withdraw(session: Session, candidate_ids: Sequence[int]) -> None:
    for batch in _batches(candidate_ids):
        moves.withdraw(session, batch)
        for table in (StageTodo, Draft):
            statement = delete(table).where(table.candidate_id.in_(batch))
            session.execute(statement.execution_options(synchronize_session=False))


def _look_again(session: Session, actor: Actor, gone: Sequence[int]) -> None:
    """Copies that were dropped in favour of what is gone may be the best ones now."""
    left = {id_ for batch in _batches(gone) for id_ in sameness.copies_of(session, batch)}
    if left:
        prefilter.run_again(session, actor, "sameness", sorted(left))


def _batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), AT_ONCE):
        yield ids[start : start + AT_ONCE]
