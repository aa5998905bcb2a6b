"""Launching, cancelling, resuming and tidying runs: what is queued, and what is refused before anything starts."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app import jobs
from app.accounts.policies import SYSTEM
from app.config import settings as our
from app.curation import moves
from app.db import transaction
from app.errors import Conflict, Invalid
from app.operations import actions as operations
from app.tables import EncoderKind, Event, Job, JobState, Run, SnapshotMember, WorkQueue
from app.training import actions, folders, plans
from app.training.plans import NewRun
from app.training.policies import Sweep, sweep
from app.training.settings import PRACTICE_ARCHITECTURE, TrainingSettings
from tests.training.made_runs import make_built_snapshot, make_clip, make_run
from tests.web_client import SignIn

SMALL = TrainingSettings(batch_size=8, warmup_steps=5)
PRACTICE = NewRun(None, None, PRACTICE_ARCHITECTURE, "scratch", TrainingSettings(epochs=2, warmup_steps=2))


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, session: Session) -> Iterator[Path]:
    """A home of the test's own, for files of runs."""
    monkeypatch.setenv("IPATH_HOME", str(tmp_path))
    our.cache_clear()
    yield tmp_path
    our.cache_clear()


def job_of(session: Session, run: Run) -> Job:
    return session.get_one(Job, run.job_id, populate_existing=True)


def refused(session: Session, new: NewRun, *, confirmed: bool = False) -> dict[str, str]:
    with pytest.raises(Invalid) as error:
        actions.launch(session, SYSTEM, new, confirmed=confirmed)
    assert session.scalar(select(func.count()).select_from(Run)) == 0
    return error.value.fields


def test_a_run_is_queued_with_its_settings_and_noted(session: Session) -> None:
    snapshot, base = make_built_snapshot(session), make_clip(session)
    (run,) = actions.launch(session, SYSTEM, NewRun(snapshot.number, base.id, "", "plip", SMALL, note="first"))
    job = job_of(session, run)
    assert (job.kind, job.queue, job.arguments) == ("finetune", WorkQueue.TRAIN, {"run": run.id})
    assert (run.snapshot_id, run.base_id, run.architecture) == (snapshot.id, base.id, "")
    assert TrainingSettings.from_json(run.settings) == SMALL
    (note,) = run.report["notes"]
    assert "by chance alone" in note
    event = session.scalars(select(Event).where(Event.act == "run.launched")).one()
    assert event.details == {"recipe": "plip", "snapshot": snapshot.number, "base": base.name}


def test_an_equal_run_that_waits_is_not_launched_again(session: Session) -> None:
    first = actions.launch(session, SYSTEM, PRACTICE)
    assert actions.launch(session, SYSTEM, PRACTICE) == first
    assert session.scalar(select(func.count()).select_from(Job)) == 1
    other = actions.launch(session, SYSTEM, replace(PRACTICE, settings=TrainingSettings(epochs=3, warmup_steps=2)))
    assert other != first


def test_an_equal_run_that_is_over_may_be_launched_again(session: Session) -> None:
    (first,) = actions.launch(session, SYSTEM, PRACTICE)
    job_of(session, first).state = JobState.SUCCEEDED
    session.flush()
    assert actions.launch(session, SYSTEM, PRACTICE) != [first]


@pytest.mark.usefixtures("own_database")
def test_two_clicks_at_the_same_moment_launch_once() -> None:
    found: list[int] = []
    together = threading.Barrier(2)

    def click() -> None:
        together.wait()
        with transaction() as own:
            found.append(actions.launch(own, SYSTEM, PRACTICE)[0].id)

    threads = [threading.Thread(target=click) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(found) == 2
    assert len(set(found)) == 1


def test_a_sweep_makes_a_run_for_each_value_and_ties_them_together(session: Session) -> None:
    swept = sweep("learning_rate", "1e-6, 3e-6,1e-5")
    runs = actions.launch(session, SYSTEM, replace(PRACTICE, swept=swept))
    assert [run.settings["learning_rate"] for run in runs] == [1e-6, 3e-6, 1e-5]
    assert {run.sweep for run in runs} == {runs[0].id}
    assert len({run.job_id for run in runs}) == 3


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("learning_rate", ""),
        ("learning_rate", "1e-5"),
        ("learning_rate", "1e-5, 1e-5"),
        ("learning_rate", "1e-5, much"),
        ("epochs", "1.5, 2"),
        ("", "1, 2"),
        ("siglip", "1, 0"),
        ("seed", ",".join(str(seed) for seed in range(13))),
    ],
)
def test_a_sweep_that_can_t_be_is_refused(field: str, typed: str) -> None:
    with pytest.raises(Invalid) as error:
        sweep(field, typed)
    assert set(error.value.fields) == {"sweep_values"}


def test_no_sweep_is_one_run() -> None:
    assert sweep("", "  ") is None


def test_the_value_of_a_sweep_that_would_go_wrong_is_named(session: Session) -> None:
    fields = refused(session, replace(PRACTICE, swept=Sweep("batch_size", (64, 4096))))
    assert fields["sweep_values"].startswith("Batch size 4096: A step takes 4,096 pairs")


def test_settings_that_would_spoil_the_run_are_refused_by_their_field(session: Session) -> None:
    wrong = TrainingSettings(epochs=1, batch_size=64, warmup_steps=1_000)
    assert "never ends" in refused(session, replace(PRACTICE, settings=wrong))["warmup_steps"]


def test_a_snapshot_with_withdrawn_pairs_is_refused(session: Session) -> None:
    snapshot = make_built_snapshot(session)
    taken = session.scalars(select(SnapshotMember.candidate_id).limit(2)).all()
    moves.withdraw(session, list(taken))
    fields = refused(session, NewRun(snapshot.number, make_clip(session).id, "", "ip-clip", SMALL))
    assert "2 pairs of it were withdrawn since it was frozen. Freeze a new snapshot" in fields["snapshot"]


def test_a_snapshot_whose_files_are_not_written_is_refused(session: Session) -> None:
    snapshot = make_built_snapshot(session)
    snapshot.built_at = None
    session.flush()
    fields = refused(session, NewRun(snapshot.number, make_clip(session).id, "", "ip-clip", SMALL))
    assert fields["snapshot"] == "There is no snapshot v0001 whose files are written."


def test_a_snapshot_without_validation_pairs_is_refused(session: Session) -> None:
    snapshot = make_built_snapshot(session, pairs=20, val=0)
    fields = refused(session, NewRun(snapshot.number, make_clip(session).id, "", "ip-clip", SMALL))
    assert "no validation pairs" in fields["snapshot"]


def test_a_base_that_is_being_deleted_is_refused(session: Session) -> None:
    base = make_clip(session)
    jobs.submit(session, "delete_encoder", WorkQueue.CPU, {"encoder": base.id})
    assert refused(session, replace(PRACTICE, base=base.id))["base"] == f"{base.name} is being deleted."


def test_a_base_that_is_no_clip_is_refused(session: Session) -> None:
    image_only = make_clip(session, kind=EncoderKind.IMAGE, source="timm")
    assert refused(session, replace(PRACTICE, base=image_only.id)) == {"base": "Choose a registered CLIP."}
    assert refused(session, replace(PRACTICE, base=999_999)) == {"base": "Choose a registered CLIP."}


def test_a_licence_that_reaches_the_data_must_be_confirmed(session: Session) -> None:
    base = make_clip(session, reaches_data=True)
    new = replace(PRACTICE, base=base.id)
    assert "Tick this to go on" in refused(session, new)["confirmed"]
    assert len(actions.launch(session, SYSTEM, new, confirmed=True)) == 1


def test_a_snapshot_that_such_a_model_selected_must_be_confirmed_too(session: Session) -> None:
    snapshot, base = make_built_snapshot(session), make_clip(session)
    selected = {"stage": "domain", "encoder": "CONCH", "licence": "CC BY-NC-ND 4.0", "reaches_data": True}
    snapshot.report = snapshot.report | {"filtered_by": [selected]}
    session.flush()
    new = NewRun(snapshot.number, base.id, "", "plip", SMALL)
    assert refused(session, new)["confirmed"].startswith("CONCH: ")
    assert len(actions.launch(session, SYSTEM, new, confirmed=True)) == 1


@pytest.mark.parametrize("name", ["", "ViT-B-99", "../secret.json", "xlm-roberta-base-ViT-B-32"])
def test_a_network_that_can_t_be_made_here_is_refused(session: Session, name: str) -> None:
    assert set(refused(session, replace(PRACTICE, architecture=name))) == {"architecture"}


def test_a_network_of_the_models_folder_is_taken(session: Session, home: Path) -> None:
    (home / "models").mkdir()
    (home / "models" / "own.json").write_text(Path("tests/tiny_clip.json").read_text())
    (run,) = actions.launch(session, SYSTEM, replace(PRACTICE, architecture="own.json"))
    assert run.architecture == "own.json"


def test_the_command_of_the_plan_names_the_data_and_the_settings(session: Session) -> None:
    snapshot = make_built_snapshot(session)
    plan = plans.plan(session, NewRun(snapshot.number, None, "ViT-S-32", "scratch", SMALL))
    assert plan.command.startswith("python -m workers.ml.trainer ")
    assert "--batch-size 8" in plan.command
    assert "v0001" in plan.command


# --- cancel, resume -----------------------------------------------------------------------------


def test_a_run_that_waits_is_cancelled_at_once(session: Session) -> None:
    (run,) = actions.launch(session, SYSTEM, PRACTICE)
    actions.cancel(session, SYSTEM, run.id)
    assert job_of(session, run).state is JobState.CANCELLED
    with pytest.raises(Conflict, match="over already"):
        actions.cancel(session, SYSTEM, run.id)


def test_a_running_run_is_asked_to_stop(session: Session) -> None:
    run = make_run(session, state=JobState.RUNNING, epochs=1)
    actions.cancel(session, SYSTEM, run.id)
    job = job_of(session, run)
    assert (job.state, job.cancel_requested) == (JobState.RUNNING, True)


@pytest.mark.parametrize("by_its_own_page", [True, False])
def test_a_resumed_run_has_a_new_job_of_the_same_run(session: Session, by_its_own_page: bool) -> None:
    run = make_run(session, state=JobState.FAILED)
    before = job_of(session, run)
    if by_its_own_page:
        actions.resume(session, SYSTEM, run.id)
    else:
        operations.retry(session, SYSTEM, before.id)
    session.refresh(run)
    after = job_of(session, run)
    assert (after.retry_of, after.arguments, after.state) == (before.id, {"run": run.id}, JobState.QUEUED)
    with pytest.raises(Conflict):
        actions.resume(session, SYSTEM, run.id)


def test_a_run_is_not_resumed_once_pairs_of_its_snapshot_were_withdrawn(session: Session) -> None:
    snapshot = make_built_snapshot(session)
    run = make_run(session, snapshot=snapshot, base=make_clip(session), settings=SMALL, state=JobState.CANCELLED)
    moves.withdraw(session, [session.scalars(select(SnapshotMember.candidate_id).limit(1)).one()])
    with pytest.raises(Conflict, match="1 pair was withdrawn from v0001"):
        actions.resume(session, SYSTEM, run.id)


def test_the_best_epoch_of_a_stopped_run_is_kept_by_a_job_that_trains_no_more(session: Session) -> None:
    run = make_run(session, state=JobState.CANCELLED, epochs=3)
    before = job_of(session, run)
    job = actions.keep_best(session, SYSTEM, run.id)
    session.refresh(run)
    assert (job.kind, job.queue, job.arguments) == ("finetune", WorkQueue.TRAIN, {"run": run.id, "finish": True})
    assert (run.job_id, job.total, job.done) == (job.id, before.total, before.done)
    event = session.scalars(select(Event).where(Event.act == "run.best_kept")).one()
    assert event.details == {"epoch": 3}
    with pytest.raises(Conflict):
        actions.keep_best(session, SYSTEM, run.id)


def test_after_a_model_could_not_be_made_resuming_trains_on(session: Session) -> None:
    run = make_run(session, state=JobState.FAILED, epochs=3)
    actions.keep_best(session, SYSTEM, run.id).state = JobState.FAILED
    session.flush()
    assert actions.resume(session, SYSTEM, run.id).arguments == {"run": run.id}


@pytest.mark.parametrize("spoil", ["open", "finished", "no epoch", "has a model", "tidied"])
def test_a_run_without_an_epoch_to_keep_makes_no_model(session: Session, spoil: str) -> None:
    states = {"open": JobState.RUNNING, "finished": JobState.SUCCEEDED}
    run = make_run(session, state=states.get(spoil, JobState.FAILED), epochs=0 if spoil == "no epoch" else 2)
    run.encoder_id = make_clip(session).id if spoil == "has a model" else None
    run.report = {"tidied": True} if spoil == "tidied" else {}
    session.flush()
    with pytest.raises(Conflict, match="no epoch to make a model of"):
        actions.keep_best(session, SYSTEM, run.id)


def test_of_pairs_that_were_withdrawn_no_model_is_made(session: Session) -> None:
    snapshot = make_built_snapshot(session)
    run = make_run(session, snapshot=snapshot, base=make_clip(session), settings=SMALL, state=JobState.CANCELLED)
    moves.withdraw(session, [session.scalars(select(SnapshotMember.candidate_id).limit(1)).one()])
    with pytest.raises(Conflict, match="1 pair was withdrawn from v0001"):
        actions.keep_best(session, SYSTEM, run.id)


# --- tidy ---------------------------------------------------------------------------------------


def save_checkpoints(run: Run) -> Path:
    """The last epoch is the best: two names of one file; and another of the epoch before."""
    folder = folders.folder_of(run.id) / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "epoch_latest.pt").write_bytes(b"x" * 1_000)
    (folder / "best.pt").hardlink_to(folder / "epoch_latest.pt")
    (folder / "epoch_3.pt").write_bytes(b"x" * 500)
    (folder / "results.jsonl").write_text("{}")
    return folder


def test_checkpoints_are_deleted_once_their_number_is_typed(session: Session, home: Path) -> None:
    run = make_run(session)
    folder = save_checkpoints(run)
    with pytest.raises(Invalid):
        actions.tidy(session, SYSTEM, run.id, "")
    assert len(folders.checkpoints(run.id)) == 2
    assert actions.tidy(session, SYSTEM, run.id, str(run.id)) == 1_500
    assert [path.name for path in folder.iterdir()] == ["results.jsonl"]
    event = session.scalars(select(Event).where(Event.act == "run.tidied")).one()
    assert event.details == {"bytes": 1_500}


def test_an_open_run_keeps_its_checkpoints(session: Session, home: Path) -> None:
    run = make_run(session, state=JobState.RUNNING)
    save_checkpoints(run)
    with pytest.raises(Conflict):
        actions.tidy(session, SYSTEM, run.id, str(run.id))
    assert len(folders.checkpoints(run.id)) == 2


@pytest.mark.parametrize("by_its_own_page", [True, False])
def test_a_run_is_not_resumed_once_its_checkpoints_were_deleted(
    session: Session, home: Path, by_its_own_page: bool
) -> None:
    run = make_run(session, state=JobState.CANCELLED)
    save_checkpoints(run)
    actions.tidy(session, SYSTEM, run.id, str(run.id))
    again, number = (actions.resume, run.id) if by_its_own_page else (operations.retry, job_of(session, run).id)
    with pytest.raises(Conflict, match=f"The checkpoints of run {run.id} were deleted."):
        again(session, SYSTEM, number)
    assert job_of(session, run).state is JobState.CANCELLED


def test_a_finished_run_goes_on_as_a_new_one_from_its_last_epoch(session: Session, home: Path) -> None:
    run = make_run(session, epochs=4)
    save_checkpoints(run)
    more = actions.go_on(session, SYSTEM, run.id, 3)
    assert more.settings == run.settings | {"epochs": 7}
    assert (more.like_id, more.report) == (run.id, {"goes_on_from": run.id})
    begun, last = (folders.folder_of(one.id) / "checkpoints" / "epoch_latest.pt" for one in (more, run))
    assert begun.samefile(last)
    assert actions.go_on(session, SYSTEM, run.id, 3) == more  # a double click
    actions.tidy(session, SYSTEM, run.id, str(run.id))
    assert begun.read_bytes() == b"x" * 1_000


def test_a_fresh_run_of_the_same_settings_is_another_one_than_the_one_that_goes_on(
    session: Session, home: Path
) -> None:
    run = make_run(session, epochs=4)
    save_checkpoints(run)
    more = actions.go_on(session, SYSTEM, run.id, 3)
    settings = TrainingSettings.from_json(more.settings)
    (fresh,) = actions.launch(session, SYSTEM, NewRun(None, None, run.architecture, "scratch", settings))
    assert fresh != more
    assert not folders.has_last(fresh.id)


def test_a_run_without_its_last_epoch_does_not_go_on(session: Session, home: Path) -> None:
    run = make_run(session, epochs=4)
    with pytest.raises(Conflict, match="kept no last epoch"):
        actions.go_on(session, SYSTEM, run.id, 3)


def test_practice_needs_no_snapshot_and_no_model(session: Session, sign_in: SignIn) -> None:
    admin: TestClient = sign_in("elm")
    answer = admin.post("/runs/practice")
    run = session.scalars(select(Run)).one()
    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run.id}")
    assert (run.snapshot_id, run.base_id, run.architecture) == (None, None, PRACTICE_ARCHITECTURE)
    assert admin.get(f"/runs/{run.id}").status_code == 200
