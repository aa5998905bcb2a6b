"""Runs side by side: what differs, which figure is best, the snapshots between them, and the same as CSV."""

import csv
import io
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.tables import JobState, Run, RunEpoch
from app.training import comparing, pages
from app.training.settings import BY_NAME, TrainingSettings
from tests.training.made_runs import make_built_snapshot, make_clip, make_run, plain
from tests.web_client import SignIn

SCRATCH = BY_NAME["scratch"].settings


@pytest.fixture
def admin(sign_in: SignIn) -> TestClient:
    return sign_in("elm")


def row(session: Session, label: str, *run_ids: int) -> comparing.Row:
    return next(one for one in comparing.rows(pages.compared(session, run_ids)) if one.label == label)


def test_the_better_figure_is_marked_by_what_it_measures(session: Session) -> None:
    good = make_run(session)
    bad = make_run(session, settings=replace(SCRATCH, seed=1), worse=0.5)
    assert row(session, "Validation loss, best epoch", bad.id, good.id).best == 1
    assert row(session, "R@10, image to text, best epoch", good.id, bad.id).best == 0
    assert row(session, "Epochs", good.id, bad.id).best is None


@pytest.mark.parametrize("change", [{"batch_size": 32}, {"siglip": True}])
def test_losses_of_other_batches_are_not_told_apart_and_recalls_are(session: Session, change: dict[str, Any]) -> None:
    good = make_run(session)
    bad = make_run(session, settings=replace(SCRATCH, **change), worse=0.5)
    assert row(session, "Validation loss, best epoch", good.id, bad.id).best is None
    assert row(session, "R@10, image to text, best epoch", good.id, bad.id).best == 0


def test_nothing_is_the_best_on_different_snapshots(session: Session) -> None:
    base, small = make_clip(session), TrainingSettings(batch_size=4, warmup_steps=2)
    first, second = make_built_snapshot(session, pairs=20), make_built_snapshot(session, pairs=5)
    good = make_run(session, snapshot=first, base=base, settings=small)
    bad = make_run(session, snapshot=second, base=base, settings=small, worse=0.5)
    for label in ("Validation loss, best epoch", "R@1, text to image, best epoch"):
        assert row(session, label, good.id, bad.id).best is None


def test_equal_figures_have_no_best(session: Session) -> None:
    one, other = make_run(session), make_run(session, settings=replace(SCRATCH, seed=1))
    found = row(session, "Validation loss, best epoch", one.id, other.id)
    assert (found.best, found.differs) == (None, False)


def test_two_runs_stand_beside_their_difference_where_one_means_something(session: Session, admin: TestClient) -> None:
    good = make_run(session)
    bad = make_run(session, settings=replace(SCRATCH, seed=1), worse=0.5)
    none = make_run(session, settings=replace(SCRATCH, seed=2), epochs=0, state=JobState.FAILED)
    loss, recall = "Validation loss, best epoch", "R@10, image to text, best epoch"
    assert row(session, loss, good.id, bad.id).difference == "−0.500"
    assert float(row(session, recall, good.id, bad.id).difference) > 0
    assert row(session, "Seed", good.id, bad.id).difference == ""
    assert row(session, loss, good.id, none.id).difference == row(session, loss, good.id).difference == ""
    assert "−0.500" in admin.get(f"/runs/compare?run={good.id}&run={bad.id}").text


def test_a_run_without_a_figure_has_a_dash_and_is_not_the_best(session: Session) -> None:
    none = make_run(session, epochs=0, state=JobState.FAILED)
    some = make_run(session, settings=replace(SCRATCH, seed=1))
    found = row(session, "Validation loss, best epoch", none.id, some.id)
    assert (found.values[0], found.cells[0], found.best) == (None, "–", None)


def test_strict_retrieval_and_what_is_still_known_are_compared_where_they_were_measured(session: Session) -> None:
    strict = {"image_to_text": {"R@10": 0.5}, "text_to_image": {"R@10": 0.4}}
    known = {"before": {"accuracy": 0.9}, "after": {"accuracy": 0.7}}
    one = make_run(session, retrieval={"strict": strict, "grouped": strict}, forgetting=known)
    other = make_run(session, settings=replace(SCRATCH, seed=1), retrieval=None)
    assert row(session, "R@10, text to image, strict", one.id, other.id).values == [0.4, None]
    assert row(session, "Knows of drawn shapes after", one.id, other.id).values == [0.7, None]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (replace(SCRATCH, seed=1), "They differ in the seed only."),
        (replace(SCRATCH, seed=1, epochs=5), "They differ in the epochs and the seed."),
        (replace(SCRATCH, seed=1, epochs=5, beta1=0.8, beta2=0.9, loaders=0), "They differ in 5 settings."),
    ],
)
def test_what_differs_is_said_in_a_sentence(session: Session, settings: TrainingSettings, told: str) -> None:
    runs = (make_run(session), make_run(session, settings=settings))
    assert comparing.told(pages.compared(session, [run.id for run in runs])) == told


def test_the_page_shows_what_differs_and_the_rest_when_asked(session: Session, admin: TestClient) -> None:
    one, other = make_run(session), make_run(session, settings=replace(SCRATCH, learning_rate=1e-4), worse=0.2)
    some = plain(admin.get(f"/runs/compare?run={one.id}&run={other.id}").text)
    assert "Learning rate 0.001 0.0001" in some
    assert "Weight decay" not in some
    every = plain(admin.get(f"/runs/compare?run={one.id}&run={other.id}&every=true").text)
    assert "Weight decay 0.2 0.2" in every


def test_a_run_that_went_on_stands_in_the_rows_of_its_own_epochs(session: Session, admin: TestClient) -> None:
    first, later = make_run(session), make_run(session, settings=replace(SCRATCH, seed=1))
    session.execute(update(RunEpoch).where(RunEpoch.run_id == later.id).values(epoch=RunEpoch.epoch + 4))
    session.execute(update(Run).where(Run.id == later.id).values(best_epoch=8))
    page = admin.get(f"/runs/compare?run={first.id}&run={later.id}").text
    rows = re.findall(r'<tr><th scope="row">(\d)</th>(.*?)</tr>', page)
    assert [number for number, _ in rows] == list("12345678")
    cells = [re.findall(r'<td class="r">(.*?)</td>', row) for _, row in rows]
    assert all(cell != "–" for row in cells[:4] for cell in row[:2])
    assert [row[2:] for row in cells[:4]] == [["–", "–"]] * 4
    assert [row[:2] for row in cells[4:]] == [["–", "–"]] * 4


def test_the_difference_of_two_snapshots_is_counted_in_pairs(session: Session, admin: TestClient) -> None:
    base, small = make_clip(session), TrainingSettings(batch_size=4, warmup_steps=2)
    first, second = make_built_snapshot(session, pairs=20), make_built_snapshot(session, pairs=5)
    runs = [make_run(session, snapshot=one, base=base, settings=small) for one in (first, second)]
    text = plain(admin.get(f"/runs/compare?run={runs[1].id}&run={runs[0].id}").text)
    assert "v0002 has 5 pairs that v0001 lacks, lacks 0 of its, and has 0 with another caption." in text
    assert "differ in the snapshot only" in text


def test_the_curves_of_every_run_are_named_for_the_script(session: Session, admin: TestClient) -> None:
    runs = [make_run(session, settings=replace(SCRATCH, seed=seed), epochs=1) for seed in range(12)]
    page = admin.get("/runs/compare?" + "&".join(f"run={run.id}" for run in runs)).text
    assert [f'data-url="/runs/{run.id}/curves"' in page for run in runs] == [True] * 12
    lines = json.loads(re.findall(r"data-lines='([^']+)'", page)[0])
    assert len({(line["colour"], line["dash"]) for line in lines}) == 12


@pytest.mark.parametrize("query", ["", "?run=999999", "?run=1&run=1"])
def test_with_nothing_to_compare_the_page_says_what_to_do(admin: TestClient, query: str) -> None:
    answer = admin.get(f"/runs/compare{query}")
    assert answer.status_code == 200
    assert "Nothing to compare yet" in answer.text


@pytest.mark.parametrize("query", ["run=0", "run=x", f"run={2**63}"])
def test_a_number_that_no_run_can_have_is_refused(admin: TestClient, query: str) -> None:
    assert admin.get(f"/runs/compare?{query}").status_code == 422


def test_the_csv_has_every_row_with_plain_numbers_and_no_formulas(session: Session, admin: TestClient) -> None:
    base = make_clip(session, name='=HYPERLINK("http://example.org")')
    run = make_run(session, base=base)
    answer = admin.get(f"/runs/compare.csv?run={run.id}")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = {name: value for name, value in csv.reader(io.StringIO(answer.text))}
    assert rows["figure"] == f"run {run.id}"
    assert rows["Start"].startswith("'=HYPERLINK")
    assert float(rows["Learning rate"]) == SCRATCH.learning_rate
    assert float(rows["R@10, image to text, best epoch"]) == pytest.approx(0.55)
