"""The states of a candidate and the only arrows between them.

The database holds the same table in a trigger, and a test asserts that the two are equal.
"""

from app.tables.candidate import CandidateState as S

ARROWS: dict[S, frozenset[S]] = {
    S.INCOMING: frozenset({S.FILTERING, S.WITHDRAWN}),
    S.FILTERING: frozenset({S.QUEUED, S.FILTERED_OUT, S.FLAGGED, S.WITHDRAWN}),
    S.QUEUED: frozenset({S.FILTERING, S.FILTERED_OUT, S.ACCEPTED, S.REJECTED, S.FLAGGED, S.CONFLICTED, S.WITHDRAWN}),
    S.FILTERED_OUT: frozenset({S.FILTERING, S.ACCEPTED, S.FLAGGED, S.WITHDRAWN}),
    S.CONFLICTED: frozenset({S.ACCEPTED, S.REJECTED, S.FLAGGED, S.QUEUED, S.WITHDRAWN}),
    S.FLAGGED: frozenset({S.QUEUED, S.FILTERING, S.ACCEPTED, S.REJECTED, S.WITHDRAWN}),
    S.ACCEPTED: frozenset({S.QUEUED, S.WITHDRAWN}),
    S.REJECTED: frozenset({S.QUEUED, S.WITHDRAWN}),
    S.WITHDRAWN: frozenset(),
}

DECIDED = frozenset({S.ACCEPTED, S.REJECTED})


def allowed(old: S, new: S) -> bool:
    """Whether a candidate may go from `old` to `new`."""
    return new in ARROWS[old]
