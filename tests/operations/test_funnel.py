"""Every candidate is in exactly one place of the funnel, and the sums are equal."""

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from app.operations.funnel import funnel
from app.operations.queries import _count_funnel, overview
from app.prefilter.stages import NAMES
from app.tables import CandidateState as S
from tests.factories import make_candidate

PLACES = [state.value for state in S if state not in (S.WITHDRAWN, S.FILTERED_OUT)]
PLACES += [f"filtered_out:{name}" for name in NAMES]


@given(st.dictionaries(st.sampled_from(PLACES), st.integers(1, 10**6)))
def test_each_row_is_the_row_before_less_what_was_lost(counts: dict[str, int]) -> None:
    made = funnel(counts)
    assert made.imported == sum(counts.values())
    left = made.imported
    for step in made.steps[1:]:
        left -= step.lost
        assert step.count == left
    assert made.accepted == left == counts.get("accepted", 0)


def test_the_costliest_stage_is_the_one_that_stops_most() -> None:
    made = funnel({"filtered_out:quality": 2, "filtered_out:domain": 9, "accepted": 1, "queued": 99})
    assert made.costliest is not None
    assert made.costliest.label == "Histopathology"
    assert funnel({"queued": 3}).costliest is None


def test_the_stages_row_is_there_only_while_something_is_in_them() -> None:
    assert "Through the stages" not in [step.label for step in funnel({"queued": 3}).steps]
    (step,) = [step for step in funnel({"filtering": 2}).steps if step.label == "Through the stages"]
    assert (step.count, step.lost, step.note) == (0, 2, "in the stages")


def test_the_counts_come_from_one_query_of_both_pairs_and_images(session: Session) -> None:
    first = make_candidate(session, S.FILTERED_OUT)
    second = make_candidate(session)
    second.image_id = first.image_id
    make_candidate(session)
    make_candidate(session, S.INCOMING)
    make_candidate(session, S.WITHDRAWN)
    session.flush()
    counts = _count_funnel(session)
    assert counts["images"] == 3
    assert (counts["queued"], counts["incoming"], counts["filtered_out:quality"]) == (2, 1, 1)
    assert "withdrawn" not in counts
    made = funnel(counts)
    assert (made.imported, made.images) == (4, 3)


def test_an_empty_house_has_an_overview_too(session: Session) -> None:
    found = overview(session)
    assert (found.funnel.imported, found.funnel.images, found.waiting) == (0, 0, 0)
    assert (found.snapshot, found.since_snapshot, found.empty_on) == (None, 0, None)
    assert (found.needs, found.jobs, found.reviewers) == ([], [], [])
