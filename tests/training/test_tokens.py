"""How many captions a text tower does not read to their end."""

from pathlib import Path

import open_clip
import pytest
from sqlalchemy import select

from app.db import transaction
from app.snapshots import building, queries
from app.snapshots.verify import verify
from app.tables import Job, JobState, Snapshot
from app.tables.operation import WorkQueue
from tests.training.running import accept_pairs, freeze, work
from workers.ml.tokens import beyond_context

WORD = "cell "  # one token


@pytest.mark.parametrize(("words", "share"), [(75, 0.0), (76, 1.0)])
def test_start_and_end_take_two_of_the_tokens(words: int, share: float) -> None:
    assert beyond_context([WORD * words]) == (77, 1, share)


def test_it_counts_what_open_clip_cuts() -> None:
    captions = [
        "Naevus.",
        "Perivaskuläre Infiltrate " * 9,
        WORD * 75,
        "血管周囲 " * 30,
        "Basal cell carcinoma, H&E, 10×. " * 12,
    ]
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    whole = tokenizer(captions, context_length=400)
    cut = [int((row != 0).sum()) > 77 for row in whole]
    assert 0 < sum(cut) < len(cut)
    assert beyond_context(captions).share == sum(cut) / len(cut)


def test_a_smaller_context_has_more_beyond_it() -> None:
    assert beyond_context([WORD * 40], context=32).share == 1
    assert beyond_context([WORD * 40], context=77).share == 0


def test_no_captions_have_none_beyond() -> None:
    assert beyond_context([]) == (77, 0, 0.0)


# --- of a snapshot ------------------------------------------------------------------------------


def test_a_snapshots_long_captions_are_counted_once_it_is_written(own_home: Path) -> None:
    with transaction() as session:
        accept_pairs(session, 12, authors=6)
    made = freeze(val=2, test=2)
    assert "beyond_context" not in made.report
    before = digests(made)
    with transaction() as session:
        job = session.scalars(select(Job).where(Job.kind == "count_tokens")).one()
    assert job.queue is WorkQueue.CPU  # who writes files may have no torch
    assert work(job).state is JobState.SUCCEEDED
    with transaction() as session:
        found = queries.numbered(session, made.number)
    assert found.report.pop("beyond_context") == {"context": 77, "captions": 12, "share": 0.0}
    assert found.report == made.report
    assert digests(found) == before
    assert verify(building.folder_of(made.number)) == []


def digests(snapshot: Snapshot) -> dict[str, bytes]:
    folder = building.folder_of(snapshot.number)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
