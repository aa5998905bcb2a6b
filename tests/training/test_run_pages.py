"""The pages of runs: the list, the form with what to expect, one run, its curves as JSON, and its log."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.config import settings as our
from app.curation import moves
from app.tables import Job, JobState, Run, RunStep, SnapshotMember
from app.training import folders, pages, queries
from app.training.settings import BY_NAME, TrainingSettings
from tests.training.made_runs import BEGAN, STEPS_AN_EPOCH, add_steps, make_built_snapshot, make_clip, make_run, plain
from tests.web_client import SignIn

HTMX = {"HX-Request": "true"}
SMALL = TrainingSettings(batch_size=8, warmup_steps=5)


@pytest.fixture
def admin(sign_in: SignIn) -> TestClient:
    return sign_in("elm")


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, session: Session) -> Iterator[Path]:
    """A home of the test's own, for files of runs."""
    monkeypatch.setenv("IPATH_HOME", str(tmp_path))
    our.cache_clear()
    yield tmp_path
    our.cache_clear()


# --- the list -----------------------------------------------------------------------------------


def test_without_a_snapshot_the_list_says_what_is_missing_and_offers_the_practice_run(admin: TestClient) -> None:
    text = admin.get("/runs").text
    assert "There is no snapshot yet" in text
    assert 'action="/runs/practice"' in text
    assert "Try the practice run" in text


def test_the_list_shows_state_curve_best_epoch_and_time(session: Session, admin: TestClient) -> None:
    run = make_run(session, epochs=4, trained_seconds=19 * 60)
    failed = make_run(session, epochs=0, state=JobState.FAILED)
    session.get_one(Job, failed.job_id).error = "Out of memory at batch 64."
    session.flush()
    page = admin.get("/runs").text
    text = plain(page)
    assert text.index(f"Run {failed.id}") < text.index(f"Run {run.id}")
    assert "epoch 4 of 12 is best" in text
    assert "53.0 %" in text
    assert "19 min" in text
    assert "Out of memory at batch 64." in text
    assert page.count("<polyline") == 1
    assert page.count('form="practice"') == 1
    assert f'name="run" value="{run.id}"' in page
    assert "every 2s" not in page


def test_time_spent_waiting_is_no_time_of_training(session: Session, admin: TestClient) -> None:
    make_run(session, epochs=0, state=JobState.FAILED)  # its job began 19 minutes before it ended
    assert "19 min" not in plain(admin.get("/runs").text)


def test_the_list_follows_open_runs_and_says_when_nobody_serves_them(session: Session, admin: TestClient) -> None:
    make_run(session, epochs=0, state=JobState.QUEUED)
    page = admin.get("/runs").text
    assert "every 2s" in page
    assert "no worker serves train" in page


def test_older_runs_are_behind_a_link(session: Session, admin: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "PAGE", 2)
    first, second, third = (make_run(session, epochs=0, worse=number) for number in range(3))
    text = admin.get("/runs").text
    assert f"/runs?before={second.id}" in text
    assert f"/runs/{first.id}" not in text
    older = admin.get(f"/runs?before={second.id}").text
    assert f"/runs/{first.id}" in older
    assert f"/runs/{third.id}" not in older


# --- one run ------------------------------------------------------------------------------------


def test_a_running_run_is_followed_and_says_how_far_it_is(session: Session, admin: TestClient) -> None:
    run = make_run(session, epochs=4, state=JobState.RUNNING)
    page = admin.get(f"/runs/{run.id}").text
    text = plain(page)
    assert "Epoch 5 of 12, step 60 of 180" in text
    assert "47 s left" in text
    assert "pairs a second" in text
    assert 'hx-trigger="every 2s"' in page
    assert "<noscript><meta http-equiv" in page
    part = admin.get(f"/runs/{run.id}", headers=HTMX).text
    assert part.lstrip().startswith('<div id="live"')


def test_time_left_goes_by_the_last_steps_whatever_lies_between_them(session: Session, admin: TestClient) -> None:
    run = make_run(session, epochs=4, state=JobState.RUNNING)
    for step in session.scalars(select(RunStep).where(RunStep.run_id == run.id)):
        step.at = BEGAN + timedelta(hours=step.step // 30)  # one worker's restart between two epochs
        step.pairs_per_second = 640.0
    session.flush()
    assert "12 s left" in plain(admin.get(f"/runs/{run.id}").text)
    add_steps(session, run, run.job_id or 0, 60, 260)  # 165 pairs a second from here on
    session.get_one(Job, run.job_id).total = 1_000
    session.flush()
    assert queries.pace(session, run) == pytest.approx(64 / 165, rel=0.01)


def test_settings_are_read_in_words_and_before_the_first_step_one_sentence_stands_for_all_curves(
    session: Session, admin: TestClient
) -> None:
    run = make_run(session, state=JobState.QUEUED, epochs=0)
    page = admin.get(f"/runs/{run.id}").text
    assert "The curves begin with the first step that is logged." in page
    assert "data-lines" not in page
    assert "<dt>Recipe</dt><dd>IP-CLIP&#39;s start point</dd>" in page
    assert "<dt>Patience</dt><dd>never</dd>" in page


def test_a_run_that_is_over_is_not_followed(session: Session, admin: TestClient) -> None:
    run = make_run(session)
    assert "every 2s" not in admin.get(f"/runs/{run.id}").text


def test_every_validated_epoch_is_in_a_table_with_both_directions(session: Session, admin: TestClient) -> None:
    run = make_run(session, epochs=2)
    text = plain(admin.get(f"/runs/{run.id}").text)
    for direction in ("image to text", "text to image"):
        for k in (1, 5, 10):
            assert f"R@{k}, {direction}" in text
    assert "1.770 20.0 % 32.0 % 45.0 % 18.0 % 30.0 % 43.0 %" in text


def test_the_training_loss_of_an_epoch_is_the_mean_of_its_steps(session: Session, admin: TestClient) -> None:
    run = make_run(session, epochs=2)
    losses = session.scalars(select(RunStep.loss).where(RunStep.run_id == run.id).order_by(RunStep.step)).all()
    mean = sum(losses[STEPS_AN_EPOCH:]) / STEPS_AN_EPOCH
    assert f"2 best {mean:.3f} 1.770" in plain(admin.get(f"/runs/{run.id}").text)


def test_cancelling_says_first_what_is_lost_and_what_is_kept(session: Session, admin: TestClient) -> None:
    run = make_run(session, epochs=4, state=JobState.RUNNING)
    assert f'action="/runs/{run.id}/cancel"' not in admin.get(f"/runs/{run.id}").text
    add_steps(session, run, run.job_id or 0, 60, 70)
    session.get_one(Job, run.job_id).done = 70
    session.flush()
    page = admin.get(f"/runs/{run.id}?cancel=true").text
    text = plain(page)
    assert "10 steps of epoch 5 are lost, about 3.9 s of work. Epoch 4 is kept; resuming goes on from there." in text
    assert f"/runs/{run.id}?cancel=true" in page  # what is polled
    answer = admin.post(f"/runs/{run.id}/cancel")
    assert answer.status_code == 303
    assert session.get_one(Job, run.job_id, populate_existing=True).cancel_requested


def test_before_the_first_epoch_ends_a_cancel_keeps_nothing(session: Session, admin: TestClient) -> None:
    run = make_run(session, epochs=0, state=JobState.RUNNING)
    session.get_one(Job, run.job_id).done = 1
    session.flush()
    text = plain(admin.get(f"/runs/{run.id}?cancel=true").text)
    assert "1 step of epoch 1 is lost. No epoch is saved yet, so it would start from the beginning." in text


@pytest.mark.parametrize(
    ("done", "saved", "said"),
    [
        (0, 0, "No epoch is saved yet"),
        (60, 4, "Epoch 4 is kept"),
        (75, 4, "15 steps of epoch 5 are lost, about 7.5\u00a0s of work. Epoch 4 is kept"),  # it validates, or saves
        (180, 11, "15 steps of epoch 12 are lost, about 7.5\u00a0s of work. Epoch 11 is kept"),
        (180, 12, "Training is done; only measuring is lost."),
    ],
)
def test_what_a_cancel_loses_follows_what_is_saved(session: Session, done: int, saved: int, said: str) -> None:
    run = make_run(session, epochs=4, state=JobState.RUNNING)
    job = session.get_one(Job, run.job_id)
    job.done, job.cursor = done, {"saved": saved}
    session.flush()
    assert pages.loss_of_cancelling(queries.shown(session, run.id), 0.5).startswith(said)


def test_a_run_that_has_not_begun_loses_nothing_and_one_with_its_model_only_measuring(session: Session) -> None:
    waiting = make_run(session, epochs=0, state=JobState.QUEUED)
    session.get_one(Job, waiting.job_id).total = None
    other = replace(BY_NAME["scratch"].settings, seed=1)
    early = make_run(session, epochs=4, state=JobState.RUNNING, settings=other)  # its patience was over
    early.encoder_id = make_clip(session).id
    session.flush()
    said = [pages.loss_of_cancelling(queries.shown(session, run.id), None) for run in (waiting, early)]
    assert said == [
        "It has not begun, so nothing is lost.",
        "Training is done; only measuring is lost. Resuming measures it.",
    ]


def test_a_waiting_run_says_behind_which(session: Session, admin: TestClient) -> None:
    first = make_run(session, epochs=1, state=JobState.RUNNING)
    second = make_run(session, epochs=0, state=JobState.QUEUED, settings=replace(BY_NAME["scratch"].settings, seed=1))
    text = plain(admin.get(f"/runs/{second.id}").text)
    assert f"behind run {first.id}" in text
    assert "No worker serves “train”" in text


def test_a_stopped_run_can_be_resumed_from_its_page(session: Session, admin: TestClient) -> None:
    run = make_run(session, state=JobState.FAILED)
    session.get_one(Job, run.job_id).error = "The loss was not a number at step 12."
    session.flush()
    page = admin.get(f"/runs/{run.id}").text
    assert "The loss was not a number at step 12." in page
    assert f"/runs/{run.id}/resume" in page
    assert admin.post(f"/runs/{run.id}/resume").status_code == 303
    assert "Waiting" in admin.get(f"/runs/{run.id}").text


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_a_model_of_a_stopped_runs_best_epoch_is_made_from_its_page(
    session: Session, admin: TestClient, state: JobState
) -> None:
    run = make_run(session, epochs=3, state=state)
    assert "Make a model of epoch 3" in plain(admin.get(f"/runs/{run.id}").text)
    assert admin.post(f"/runs/{run.id}/keep").status_code == 303
    text = plain(admin.get(f"/runs/{run.id}").text)
    assert "Waiting" in text
    assert "Make a model" not in text


def test_a_stopped_run_without_an_epoch_offers_no_model(session: Session, admin: TestClient) -> None:
    run = make_run(session, epochs=0, state=JobState.FAILED)
    assert "Make a model" not in admin.get(f"/runs/{run.id}").text


def test_an_open_run_whose_pairs_were_withdrawn_is_said_to_be_stopped(session: Session, admin: TestClient) -> None:
    snapshot = make_built_snapshot(session)
    run = make_run(session, snapshot=snapshot, base=make_clip(session), settings=SMALL, state=JobState.RUNNING)
    moves.withdraw(session, [session.scalars(select(SnapshotMember.candidate_id).limit(1)).one()])
    assert "The run is being stopped, and no model is made of it." in plain(admin.get(f"/runs/{run.id}").text)


def test_a_run_on_pairs_that_were_withdrawn_since_says_so_and_offers_no_resuming(
    session: Session, admin: TestClient
) -> None:
    snapshot = make_built_snapshot(session)
    run = make_run(session, snapshot=snapshot, base=make_clip(session), settings=SMALL, state=JobState.CANCELLED)
    moves.withdraw(session, [session.scalars(select(SnapshotMember.candidate_id).limit(1)).one()])
    page = admin.get(f"/runs/{run.id}").text
    assert "1 pair of v0001 was withdrawn since it was frozen." in page
    assert "/resume" not in page


def figures(rank: float) -> dict[str, Any]:
    sure = {"R@1": [0.1, 0.3], "R@5": None, "R@10": [0.5, 0.7]}
    shares = {"R@1": 0.2, "R@5": 0.4, "R@10": 0.6, "R@50": 1.0}
    return shares | {"median_rank": rank, "pool": 50, "intervals": sure, "chance": {"R@10": 0.2}}


def known(share: float) -> dict[str, Any]:
    one = {"accuracy": share, "low": share - 0.05, "high": share + 0.05, "chance": 1 / 48, "n": 192}
    return one | {"counting": one | {"chance": 0.25, "n": 128}, "random": False}


def test_the_finished_model_is_measured_strictly_and_by_groups_before_and_after(
    session: Session, admin: TestClient
) -> None:
    ways = {"image_to_text": figures(4), "text_to_image": figures(7.5)}
    run = make_run(
        session,
        retrieval={"strict": ways, "grouped": ways},
        forgetting={"before": known(0.9), "after": known(0.6)},
        versions={"torch": "2.14"},
    )
    run.encoder_id = make_clip(session, name="ip-clip v0007 run 19").id
    session.flush()
    text = plain(admin.get(f"/runs/{run.id}").text)
    assert "on the validation pairs by which its epoch was chosen" in text
    assert "One picture, one caption Text to image 20.0 % (10 to 30) 40.0 % 60.0 % (50 to 70) 100.0 % 7.5 50" in text
    assert "Colour and shape 192 pictures 90.0 % (85 to 95) 60.0 % (55 to 65) 2.1 %" in text
    assert "It forgot some of what it knew" in text
    assert "ip-clip v0007 run 19" in text


def test_a_model_from_random_weights_had_nothing_to_forget(session: Session, admin: TestClient) -> None:
    run = make_run(session, retrieval=None, forgetting={"before": None, "after": known(0.6)})
    text = plain(admin.get(f"/runs/{run.id}").text)
    assert "nothing to forget" in text
    assert "It forgot" not in text


@pytest.mark.parametrize("path", ["", "/curves", "/log"])
def test_a_run_that_is_not_there_is_not_found(admin: TestClient, path: str) -> None:
    assert admin.get(f"/runs/999999{path}").status_code == 404


# --- curves -------------------------------------------------------------------------------------


def test_only_new_points_are_sent(session: Session, admin: TestClient) -> None:
    run = make_run(session, epochs=2, state=JobState.RUNNING)
    whole = admin.get(f"/runs/{run.id}/curves").json()
    assert whole["steps"]["step"] == list(range(2 * STEPS_AN_EPOCH))
    assert whole["open"]
    assert whole["epochs"]["step"] == [STEPS_AN_EPOCH - 1, 2 * STEPS_AN_EPOCH - 1]
    assert whole["epochs"]["epoch"] == [1, 2]
    known = {"after": 29, "written": whole["written"]}
    assert admin.get(f"/runs/{run.id}/curves", params=known).json()["steps"]["loss"] == []
    add_steps(session, run, run.job_id or 0, 30, 32)
    again = admin.get(f"/runs/{run.id}/curves", params=known).json()
    assert (again["after"], again["steps"]["step"]) == (29, [30, 31])
    assert again["written"] > whole["written"]


def test_a_long_run_is_sent_as_at_most_a_thousand_means(session: Session, admin: TestClient) -> None:
    run = make_run(session, epochs=0)
    add_steps(session, run, run.job_id or 0, 0, 3_500)
    columns = admin.get(f"/runs/{run.id}/curves").json()["steps"]
    assert 800 <= len(columns["step"]) <= 1_000
    assert columns["step"][-1] == 3_499
    rows = session.scalars(select(RunStep.loss).where(RunStep.run_id == run.id).order_by(RunStep.step)).all()
    assert columns["loss"][1] == pytest.approx(sum(rows[4:8]) / 4)


def test_a_loss_that_was_not_a_number_is_a_gap(session: Session, admin: TestClient) -> None:
    run = make_run(session, epochs=1)
    session.get_one(RunStep, (run.id, 3)).loss = float("nan")
    session.flush()
    assert admin.get(f"/runs/{run.id}/curves").json()["steps"]["loss"][3] is None
    assert admin.get(f"/runs/{run.id}").status_code == 200


@pytest.mark.parametrize("done_again", [0, 2, 15, 20])
def test_steps_that_are_done_again_take_the_place_of_the_old_ones(
    session: Session, admin: TestClient, done_again: int
) -> None:
    run = make_run(session, epochs=2, state=JobState.RUNNING)
    known = {"after": 29, "written": admin.get(f"/runs/{run.id}/curves").json()["written"]}
    behind = (RunStep.run_id == run.id) & (RunStep.step >= STEPS_AN_EPOCH)
    session.execute(delete(RunStep).where(behind))  # the same job's trainer begins again at the first epoch's border
    add_steps(
        session, run, run.job_id or 0, STEPS_AN_EPOCH, STEPS_AN_EPOCH + done_again, began=BEGAN + timedelta(hours=1)
    )
    found = admin.get(f"/runs/{run.id}/curves", params=known).json()
    assert found["after"] == -1
    assert found["steps"]["step"] == list(range(STEPS_AN_EPOCH + done_again))


# --- log and checkpoints ------------------------------------------------------------------------


def write_log(run: Run, lines: list[str]) -> None:
    folder = folders.folder_of(run.id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / folders.LOG).write_text("\n".join(lines))


def test_the_page_shows_the_end_of_the_log_as_text_and_links_to_all_of_it(
    session: Session, admin: TestClient, home: Path
) -> None:
    run = make_run(session)
    lines = [f"{number} INFO Train <script>alert(1)</script>" for number in range(80)]
    write_log(run, [*lines, "TorchDynamo attempted to trace the following frames: [", "* forward train.py", "]"])
    page = admin.get(f"/runs/{run.id}").text
    assert "<script>alert" not in page
    assert "79 INFO Train &lt;script&gt;" in page
    assert "30 INFO" not in page
    assert "TorchDynamo" not in page
    whole = admin.get(f"/runs/{run.id}/log")
    assert whole.headers["content-type"].startswith("text/plain")
    assert whole.text.startswith("0 INFO Train <script>")


def test_the_command_that_was_started_can_be_pasted_into_a_shell(session: Session, admin: TestClient) -> None:
    run = make_run(session)
    run.command = ["-m", "workers.ml.trainer", "--aug-cfg", "scale=(0.9,1.0)"]
    session.flush()
    assert "python -m workers.ml.trainer --aug-cfg &#39;scale=(0.9,1.0)&#39;" in admin.get(f"/runs/{run.id}").text


def test_a_log_that_does_not_begin_yet_is_not_found(session: Session, admin: TestClient, home: Path) -> None:
    run = make_run(session)
    assert admin.get(f"/runs/{run.id}/log").status_code == 404


def test_checkpoints_are_listed_with_their_sizes_and_deleted_once_the_number_is_typed(
    session: Session, admin: TestClient, home: Path
) -> None:
    run = make_run(session)
    folder = folders.folder_of(run.id) / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "best.pt").write_bytes(b"x" * 606_000)
    text = plain(admin.get(f"/runs/{run.id}").text)
    assert "Best epoch 606 kB" in text
    refused = admin.post(f"/runs/{run.id}/tidy", data={"confirm": "1"})
    assert refused.status_code == 422
    assert f"Type {run.id} to go on." in refused.text
    assert admin.post(f"/runs/{run.id}/tidy", data={"confirm": str(run.id)}).status_code == 303
    assert not (folder / "best.pt").exists()


def test_once_its_checkpoints_are_deleted_a_stopped_run_offers_neither_resuming_nor_a_model(
    session: Session, admin: TestClient, home: Path
) -> None:
    run = make_run(session, epochs=2, state=JobState.CANCELLED)
    admin.post(f"/runs/{run.id}/tidy", data={"confirm": str(run.id)})
    page = admin.get(f"/runs/{run.id}").text
    assert f"/runs/{run.id}/resume" not in page
    assert f"/runs/{run.id}/keep" not in page
    assert "Resuming" not in page


def test_a_finished_run_that_kept_its_last_epoch_offers_to_go_on(
    session: Session, admin: TestClient, home: Path
) -> None:
    run = make_run(session, epochs=2)
    assert f"/runs/{run.id}/more" not in admin.get(f"/runs/{run.id}").text
    folder = folders.folder_of(run.id) / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "epoch_latest.pt").write_bytes(b"x")
    assert "A new run begins with epoch 2 of this one." in plain(admin.get(f"/runs/{run.id}").text)
    refused = admin.post(f"/runs/{run.id}/more", data={"more": "some"})
    assert refused.status_code == 422
    assert "Use a whole number." in refused.text
    too_many = admin.post(f"/runs/{run.id}/more", data={"more": "2000"})
    assert "Give 1 to 1,000 epochs." in plain(too_many.text)
    answer = admin.post(f"/runs/{run.id}/more", data={"more": "3"})
    assert answer.status_code == 303
    assert f"Goes on from run {run.id}" in plain(admin.get(answer.headers["location"]).text)


def test_the_page_of_a_long_run_is_read_in_as_many_rows_as_that_of_a_short_one(
    session: Session, admin: TestClient
) -> None:
    short = make_run(session, epochs=2, state=JobState.RUNNING)
    long = make_run(session, epochs=2, state=JobState.RUNNING, settings=replace(BY_NAME["scratch"].settings, seed=1))
    add_steps(session, long, long.job_id or 0, 30, 3_000)
    session.execute(text("ANALYZE run_step"))
    session.execute(text("SET LOCAL enable_seqscan = off"))  # so small a table would be read whole
    session.execute(text("SET LOCAL enable_bitmapscan = off"))
    session.execute(text("SET LOCAL enable_sort = off"))
    assert rows_read(session, admin, long) <= rows_read(session, admin, short) + 200  # those of the pace


def rows_read(session: Session, admin: TestClient, run: Run) -> int:
    """Rows of steps that the page's statements fetch from the table or its index."""
    counted = text("SELECT pg_stat_get_xact_tuples_fetched(i) FROM (SELECT 'run_step'::regclass AS i) x")
    scanned = text("SELECT pg_stat_get_xact_tuples_returned('run_step'::regclass)")
    before = session.scalar(counted) + session.scalar(scanned)
    assert admin.get(f"/runs/{run.id}", headers=HTMX).status_code == 200
    return int(session.scalar(counted) + session.scalar(scanned) - before)
