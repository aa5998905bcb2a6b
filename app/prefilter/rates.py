"""How long candidates that come back need in the stages that follow, by what those took lately."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.prefilter import stages
from app.tables import Job, JobState

RECENT = 500  # jobs of all stages together


@dataclass(frozen=True)
class Ahead:
    """The stages that some candidates need first, and the seconds that these take one after the other.

    `unmeasured` stages have no recent run and are not in the sum. Stages run side by side, and what was looked at
    before is not computed again: so it is a bound.
    """

    needed: Sequence[stages.Stage]
    unmeasured: Sequence[stages.Stage]
    seconds: float


def ahead(session: Session, stage: str, count: int) -> Ahead:
    """What `count` candidates need after a stage."""
    needed, each = [stages.BY_NAME[name] for name in stages.from_here_on(stage)[1:]], seconds_each(session)
    unmeasured = [one for one in needed if one.name not in each]
    return Ahead(needed, unmeasured, count * sum(each.get(one.name, 0.0) for one in needed))


def seconds_each(session: Session) -> dict[str, float]:
    """Stage → seconds a candidate in its recent runs, from their beginning to their end, turns of others included."""
    recent = (
        select(Job.arguments["stage"].astext.label("stage"), Job.done, (Job.finished_at - Job.started_at).label("took"))
        .where(Job.kind == "prefilter", Job.state == JobState.SUCCEEDED, Job.done > 0, Job.started_at.is_not(None))
        .order_by(Job.id.desc())
        .limit(RECENT)
        .subquery()
    )
    rows = session.execute(
        select(recent.c.stage, func.sum(func.extract("epoch", recent.c.took)) / func.sum(recent.c.done)).group_by(
            recent.c.stage
        )
    )
    return {name: float(seconds) for name, seconds in rows}
