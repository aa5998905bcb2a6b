"""What the quality stage takes for too small or too narrow: settings of the stage, previewed before they are saved."""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import Actor
from app.errors import Conflict
from app.prefilter import queries
from app.tables import Candidate, CandidateState, FindingNow, Image, Job, Stage, WorkQueue

S = CandidateState
TOO_SMALL, TOO_NARROW = "too small", "too narrow"


@dataclass(frozen=True)
class Limits:
    """The shorter side in px that a picture has at least, and how often it goes into the longer one at most.

    0 and None: no limit.
    """

    shorter_side: int = 0
    aspect: float | None = None

    def broken_by(self, width: int, height: int) -> str:
        """The stage's label for a picture of this size, "" for one within the limits."""
        if min(width, height) < self.shorter_side:
            return TOO_SMALL
        return TOO_NARROW if self.aspect and max(width, height) > self.aspect * min(width, height) else ""

    def broken(self) -> ColumnElement[bool]:
        """The SQL side of `broken_by`; a test holds the two together."""
        shorter, longer = func.least(Image.width, Image.height), func.greatest(Image.width, Image.height)
        small = shorter < self.shorter_side
        return small | (longer > self.aspect * shorter) if self.aspect else small


def limits_of(setting: dict[str, Any]) -> Limits:
    return Limits(int(setting.get("shorter_side", 0)), setting.get("aspect"))


@dataclass(frozen=True)
class LimitsPreview:
    """How many undecided candidates the limits would stop that go on now; how many stopped ones are within them.

    Those come back unless they are blank or blurred, which the stage did not look at.
    """

    newly_dropped: int
    back: int


def preview(session: Session, wanted: Limits) -> LimitsPreview:
    """What limits would do beside those in force, by the pictures' sizes alone."""
    in_force = limits_of(queries.stage_row(session, "quality").setting)
    stopped = (Candidate.state == S.FILTERED_OUT) & (Candidate.stopped_by == "quality")
    undecided = Candidate.state.in_([S.FILTERING, S.QUEUED])
    rows = (
        select(
            func.count().filter(undecided & wanted.broken() & ~in_force.broken()),
            func.count().filter(stopped & in_force.broken() & ~wanted.broken()),
        )
        .select_from(Candidate)
        .join(Image, Image.id == Candidate.image_id)
        .join(FindingNow, (FindingNow.candidate_id == Candidate.id) & (FindingNow.stage == "quality"))
        .where(undecided | stopped)
    )
    return LimitsPreview(*session.execute(rows).one())


def set_limits(session: Session, actor: Actor, wanted: Limits, expected: Limits) -> Job | None:
    """Changes the limits and runs the stage again on all that nobody decided; None where they were so before.

    `expected` are the limits that the admin saw. Raises Conflict when they changed meanwhile.
    """
    row = session.scalars(select(Stage).where(Stage.name == "quality").with_for_update()).one()
    before = limits_of(row.setting)
    if before != expected:
        raise Conflict("Someone changed the size and shape meanwhile.", "Look at them again.")
    changed = {name: [old, asdict(wanted)[name]] for name, old in asdict(before).items() if old != asdict(wanted)[name]}
    if not changed:
        return None
    row.setting, row.changed_at = {**row.setting, **asdict(wanted)}, func.clock_timestamp()
    session.flush()
    details = {"changed": changed}
    jobs.record(session, "stage.limits_changed", "stage", "quality", user_id=actor.user_id, details=details)
    # A job for every change: one that runs already would not go back to what it has passed.
    arguments = {"stage": "quality", "candidates": None}
    return jobs.submit(session, "rerun", WorkQueue.CPU, arguments, unit="candidates", requested_by=actor.user_id)
