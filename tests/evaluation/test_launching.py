"""Launching evaluations: only what is missing starts, once, and never against a licence that nobody confirmed."""

import shlex

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import SYSTEM
from app.errors import Invalid
from app.evaluation import actions, queries, shown
from app.evaluation.planning import Wish, plan
from app.evaluation.policies import Precision, Preset, Settings, Task, command, fingerprint, stored
from app.tables import EncoderKind, Evaluation, EvaluationSet, Event, Job, JobState
from tests.evaluation.made import make_evaluation, make_set, make_wording
from tests.factories import make_encoder
from tests.web_client import SignIn


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "send", lambda job_id, queue: None)


@pytest.fixture
def kather(session: Session) -> EvaluationSet:
    make_wording(session)
    return make_set(session)


def count(session: Session, table: type) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


def test_every_model_meets_every_set_in_every_task_with_a_job_each(session: Session, kather: EvaluationSet) -> None:
    make_wording(session, "bach")
    bach = make_set(session, "BACH", "bach", licence="CC BY-NC")
    encoders = [make_encoder(session) for _ in range(2)]
    wish = Wish([one.id for one in encoders], [kather.id, bach.id], [], [Task.ZERO_SHOT, Task.LINEAR_PROBE])
    made = actions.launch(session, SYSTEM, wish, confirmed=True)
    assert len(made) == 8
    assert len({row.job_id for row in made}) == 8
    assert len({(row.encoder_id, row.settings_sha256) for row in made}) == 8


def test_what_is_there_or_runs_is_left_alone(session: Session, kather: EvaluationSet) -> None:
    one, other = make_encoder(session), make_encoder(session)
    wording = make_wording(session, version=2)
    there = make_evaluation(session, one, kather, wording=wording)
    wish = Wish([one.id, other.id], [kather.id], [], [Task.ZERO_SHOT])
    (made,) = actions.launch(session, SYSTEM, wish)
    assert made.encoder_id == other.id
    assert [(p.is_done, p.is_open, p.is_gap) for p in plan(session, wish)] == [
        (True, False, False),
        (False, True, False),
    ]
    with pytest.raises(Invalid, match="there already, or runs"):
        actions.launch(session, SYSTEM, wish)
    assert count(session, Evaluation) == 2
    assert there.job_id is None


def test_one_that_failed_is_tried_again_as_the_same_evaluation(session: Session, kather: EvaluationSet) -> None:
    wish = Wish([make_encoder(session).id], [kather.id], [], [Task.LINEAR_PROBE])
    (made,) = actions.launch(session, SYSTEM, wish)
    first = session.get_one(Job, made.job_id)
    first.state, first.error = JobState.FAILED, "the disk"
    session.flush()
    (again,) = actions.launch(session, SYSTEM, wish)
    assert again.id == made.id
    assert session.get_one(Job, again.job_id).retry_of == first.id


def test_another_wording_is_another_evaluation_and_the_newest_is_taken(session: Session, kather: EvaluationSet) -> None:
    encoder = make_encoder(session)
    wish = Wish([encoder.id], [kather.id], [], [Task.ZERO_SHOT])
    (first,) = actions.launch(session, SYSTEM, wish)
    newer = make_wording(session, version=2)
    (second,) = actions.launch(session, SYSTEM, wish)
    assert first.settings["wording"] == 1
    assert (second.settings["wording"], second.prompts_id) == (2, newer.id)


def test_settings_that_a_task_does_not_read_make_no_other_evaluation() -> None:
    plain, other = Settings(), Settings(preset=Preset.PLIP, ks=(1,), wording=0)
    prints = [fingerprint(Task.ZERO_SHOT, stored(Task.ZERO_SHOT, one, 1, "x")) for one in (plain, other)]
    assert prints[0] == prints[1]
    slower = Settings(precision=Precision.BF16)
    assert fingerprint(Task.ZERO_SHOT, stored(Task.ZERO_SHOT, slower, 1, "x")) not in prints
    assert fingerprint(Task.ZERO_SHOT, stored(Task.ZERO_SHOT, plain, 1, "other items")) not in prints


def test_a_licence_that_forbids_something_is_shown_and_has_to_be_confirmed(session: Session) -> None:
    make_wording(session, "bach")
    bach = make_set(session, "BACH", "bach")
    wish = Wish([make_encoder(session).id], [bach.id], [], [Task.LINEAR_PROBE])
    with pytest.raises(Invalid) as caught:
        actions.launch(session, SYSTEM, wish)
    assert "No commercial use" in caught.value.fields["confirmed"]
    assert count(session, Evaluation) == 0
    (made,) = actions.launch(session, SYSTEM, wish, confirmed=True)
    event = session.scalars(select(Event).where(Event.act == "evaluation.launched")).one()
    assert (event.subject_id, event.details["confirmed"]) == (str(made.id), True)


def test_a_set_without_a_test_split_has_zero_shot_alone(session: Session, kather: EvaluationSet) -> None:
    report = kather.report
    shape = report["variants"]["as published"] | {"splits": {"all": 60}}
    kather.report = report | {"variants": {"as published": shape}}
    session.flush()
    wish = Wish([make_encoder(session).id], [kather.id], [], [Task.ZERO_SHOT, Task.LINEAR_PROBE, Task.FEW_SHOT])
    assert [one.task for one in plan(session, wish) if one.is_gap] == [Task.ZERO_SHOT]
    assert any("this variant lacks one" in one.why_not for one in plan(session, wish))


def test_a_set_that_waits_for_a_yes_can_not_be_chosen(session: Session, kather: EvaluationSet) -> None:
    kather.ready_at = None
    session.flush()
    with pytest.raises(Invalid, match="Choose at least one"):
        actions.launch(session, SYSTEM, Wish([make_encoder(session).id], [kather.id], [], [Task.ZERO_SHOT]))


def test_the_page_counts_gaps_before_anything_starts(session: Session, kather: EvaluationSet, sign_in: SignIn) -> None:
    one, other = make_encoder(session), make_encoder(session)
    lite = make_encoder(session, name="lite", kind=EncoderKind.IMAGE)
    make_evaluation(session, one, kather, wording=queries.newest_wording(session, "kather"))
    elm = sign_in("elm")
    query = {"model": [one.id, other.id, lite.id], "set": kather.id, "task": "zero_shot"}
    page = elm.get("/evaluation/new", params=query).text
    assert "Evaluate the 1 gap" in page
    assert "lite reads pictures only" in page
    assert count(session, Job) == 0


def test_two_clicks_start_it_once(session: Session, kather: EvaluationSet, sign_in: SignIn) -> None:
    elm = sign_in("elm")
    form = {"model": str(make_encoder(session).id), "set": str(kather.id), "task": "zero_shot"}
    first, second = elm.post("/evaluation/new", data=form), elm.post("/evaluation/new", data=form)
    assert (first.status_code, second.status_code) == (303, 422)
    assert "there already, or runs" in second.text
    assert count(session, Job) == count(session, Evaluation) == 1


def test_gaps_of_the_table_are_filled_one_or_all(session: Session, kather: EvaluationSet, sign_in: SignIn) -> None:
    bach = make_set(session, "Other", "kather")
    wording = make_wording(session, version=2)
    one, other = make_encoder(session), make_encoder(session)
    base = make_evaluation(session, one, kather, wording=wording)
    make_evaluation(session, one, bach, wording=wording)
    third = make_encoder(session)
    make_evaluation(session, third, bach, wording=wording)
    make_evaluation(session, other, bach, wording=wording)
    elm = sign_in("elm")
    place = {"task": "zero_shot", "model": str(third.id), "column": base.settings_sha256}
    assert elm.post("/evaluation/gaps", data=place).status_code == 303
    assert count(session, Job) == 1
    assert elm.post("/evaluation/gaps", data={"task": "zero_shot"}).status_code == 303
    assert count(session, Job) == 2
    assert {row.encoder_id for row in session.scalars(select(Evaluation).where(Evaluation.job_id.is_not(None)))} == {
        other.id,
        third.id,
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [("k", "3"), ("split", "train"), ("task", "everything"), ("seeds", "0"), ("model", "x"), ("wording", "-1")],
)
def test_what_can_not_be_meant_is_refused_and_starts_nothing(
    session: Session, kather: EvaluationSet, sign_in: SignIn, field: str, value: str
) -> None:
    form = {"model": str(make_encoder(session).id), "set": str(kather.id), "task": "zero_shot"} | {field: value}
    assert sign_in("elm").post("/evaluation/new", data=form).status_code == 422
    assert count(session, Evaluation) == 0


def test_a_setting_that_can_not_be_taken_loses_nothing_of_what_was_ticked_and_typed(
    session: Session, kather: EvaluationSet, sign_in: SignIn
) -> None:
    encoder = make_encoder(session)
    form = {"model": str(encoder.id), "set": str(kather.id), "task": "few_shot", "seeds": "99", "seed": "7"}
    page = sign_in("elm").post("/evaluation/new", data=form).text
    assert "Give a whole number from 1 to 50." in page
    assert all(f'name="{name}" value="{form[name]}" checked' in page for name in ("model", "set", "task"))
    assert 'value="99"' in page
    assert 'value="7"' in page


def test_readers_start_nothing(session: Session, kather: EvaluationSet, sign_in: SignIn) -> None:
    fir = sign_in("fir")
    assert fir.get("/evaluation/new").status_code == 403
    assert fir.post("/evaluation/new", data={}).status_code == 403
    assert fir.post("/evaluation/gaps", data={}).status_code == 403


def test_the_command_on_the_page_says_all_that_changes_the_number() -> None:
    kept = stored(Task.FEW_SHOT, Settings(variant="leak-safe", ks=(1, 16), seeds=3, seed=7), 1, "x")
    assert command("ip-clip v0007", "Kather", Task.FEW_SHOT, kept) == (
        "ipath evaluate --model 'ip-clip v0007' --set Kather --task few-shot --variant leak-safe "
        "--seeds 3 --precision fp32 --seed 7 --k 1 --k 16"
    )


def test_the_command_says_that_one_knows_what_a_licence_forbids(session: Session, kather: EvaluationSet) -> None:
    encoder, bach = make_encoder(session), make_set(session, "BACH", "bach")
    ends = [
        shown.command_of(queries.evaluation(session, make_evaluation(session, encoder, one).id)).split()[-1]
        for one in (bach, kather)
    ]
    assert ends == ["--confirm-licence", "0"]


def test_a_name_on_the_page_can_be_no_command_of_the_shell() -> None:
    evil, on = 'm"; touch /tmp/x; "', "Kather $(id) 'x'"
    kept = stored(Task.ZERO_SHOT, Settings(variant="a `b`"), 1, "x")
    words = shlex.split(command(evil, on, Task.ZERO_SHOT, kept))
    assert [words[words.index(flag) + 1] for flag in ("--model", "--set", "--variant")] == [evil, on, "a `b`"]
