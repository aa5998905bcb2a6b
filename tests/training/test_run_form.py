"""The form of a new run: each field explained, what to expect as it is filled in, and what is refused."""

import re
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.tables import JobState, Run
from app.training.forms import filled
from app.training.settings import BY_NAME, EXPLAINED, RECIPES, TrainingSettings
from tests.training.made_runs import make_built_snapshot, make_clip, make_run, plain
from tests.web_client import SignIn

HTMX = {"HX-Request": "true"}


@pytest.fixture
def admin(sign_in: SignIn) -> TestClient:
    return sign_in("elm")


def form(**values: Any) -> dict[str, str]:
    """The practice run as a browser sends it."""
    start = {"snapshot": "", "base": "", "architecture": "practice_clip.json", "recipe": "scratch"}
    return start | filled(BY_NAME["scratch"].settings) | {name: str(value) for name, value in values.items()}


def test_each_setting_is_explained_beside_its_field(session: Session, admin: TestClient) -> None:
    text = plain(admin.get("/runs/new").text.replace("&#39;", "'"))
    for name, said in EXPLAINED.items():
        assert said in text, name


def test_what_to_expect_follows_the_fields(session: Session, admin: TestClient) -> None:
    part = admin.get("/runs/new", params=form(epochs=3, batch_size=128, warmup_steps=5), headers=HTMX).text
    assert part.lstrip().startswith("<aside")
    text = plain(part)
    assert "48 (16 an epoch)" in text
    assert "Unknown: no run of this network and batch yet" in text
    assert "3.7 M parameters" in text
    assert "No worker serves train" in text
    assert "--batch-size 128" in text
    assert "--epochs 3" in text


def test_time_is_reckoned_by_the_last_run_of_the_same_network_and_batch(session: Session, admin: TestClient) -> None:
    run = make_run(session, epochs=1)
    run.architecture = "practice_clip.json"
    session.flush()
    part = plain(admin.get("/runs/new", params=form(epochs=3, batch_size=64), headers=HTMX).text)
    assert f"at the 165 pairs a second of run {run.id}" in part
    other = plain(admin.get("/runs/new", params=form(epochs=3, batch_size=32), headers=HTMX).text)
    assert "Unknown: no run of this network and batch yet" in other


def test_what_speaks_against_a_run_is_said_before_it_is_sent(session: Session, admin: TestClient) -> None:
    part = plain(admin.get("/runs/new", params=form(warmup_steps=100_000), headers=HTMX).text)
    assert "Warm-up steps: The run has" in part
    unread = plain(admin.get("/runs/new", params=form(learning_rate="fast"), headers=HTMX).text)
    assert "Learning rate: Use a number, such as 0.1 or 1e-5." in unread


@pytest.mark.parametrize("recipe", [recipe.name for recipe in RECIPES])
def test_choosing_a_recipe_fills_in_the_form_without_scripts(admin: TestClient, recipe: str) -> None:
    page = admin.get("/runs/new", params=form(note="kept", siglip="true") | {"recipe": recipe, "fill": "true"}).text
    wanted = BY_NAME[recipe].settings
    assert re.search(rf'name="epochs"[^>]* value="{wanted.epochs}"', page)
    assert re.search(rf'name="batch_size"[^>]* value="{wanted.batch_size}"', page)
    assert re.search(r'name="note"[^>]* value="kept"', page)
    assert ("checked" in re.findall(r'<input[^>]*name="siglip"[^>]*>', page)[0]) is wanted.siglip


def test_the_recipe_from_scratch_lets_go_of_the_base_and_another_one_keeps_it(
    session: Session, admin: TestClient
) -> None:
    base = make_clip(session)
    for recipe, expected in (("scratch", ""), ("plip", str(base.id))):
        page = admin.get("/runs/new", params=form(base=base.id) | {"recipe": recipe, "fill": "true"}).text
        assert re.findall(r'name="base" value="(\d*)" checked', page) == [expected]


def test_too_few_validation_pairs_are_said_before_a_run_starts(session: Session, admin: TestClient) -> None:
    small = make_built_snapshot(session, pairs=10, val=1)
    sent = form(snapshot=small.number, batch_size=2, warmup_steps=0)
    page = plain(admin.get("/runs/new", params=sent).text)
    assert "9 training and 1 validation pair " in page
    assert "has 1 validation pair: its R@10 is 100% by chance alone" in page
    assert "by chance alone" not in admin.get("/runs/new", params=form()).text


def test_a_recipe_is_fitted_to_a_small_snapshot(session: Session, admin: TestClient) -> None:
    make_built_snapshot(session, pairs=20)
    make_clip(session)
    page = admin.get("/runs/new").text
    assert re.search(r'name="batch_size"[^>]* value="4"', page)
    assert "t-bad" not in page


def test_another_run_or_what_its_failure_proposed_fills_in_the_form(session: Session, admin: TestClient) -> None:
    settings = replace(BY_NAME["scratch"].settings, batch_size=32, siglip=True)
    run = make_run(session, settings=settings, epochs=0, state=JobState.FAILED, offer={"batch_size": 16})
    like = admin.get(f"/runs/new?like={run.id}").text
    assert re.search(r'name="batch_size"[^>]* value="32"', like)
    assert "checked" in re.findall(r'<input[^>]*name="siglip"[^>]*>', like)[0]
    offered = admin.get(f"/runs/new?like={run.id}&offer=true").text
    assert re.search(r'name="batch_size"[^>]* value="16"', offered)
    assert f'name="like" value="{run.id}"' in offered
    assert f"/runs/new?like={run.id}&amp;offer=true" in admin.get(f"/runs/{run.id}").text


def test_a_refused_form_keeps_what_was_typed_and_says_why_at_the_field(session: Session, admin: TestClient) -> None:
    answer = admin.post("/runs", data=form(epochs="many", batch_size="4096", note="kept"))
    assert answer.status_code == 422
    assert re.search(r'name="epochs"[^>]* value="many"[^>]*aria-invalid="true"', answer.text)
    assert "Use a whole number." in answer.text
    assert re.search(r'name="note"[^>]* value="kept"', answer.text)
    assert session.scalars(select(Run)).all() == []


def test_a_sent_form_launches_the_run_and_leads_to_it(session: Session, admin: TestClient) -> None:
    answer = admin.post("/runs", data=form(note="a first try"))
    run = session.scalars(select(Run)).one()
    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run.id}")
    assert run.note == "a first try"
    assert TrainingSettings.from_json(run.settings) == BY_NAME["scratch"].settings


def test_a_sweep_leads_to_its_runs_side_by_side(session: Session, admin: TestClient) -> None:
    answer = admin.post("/runs", data=form(sweep_field="seed", sweep_values="1, 2"))
    first, second = session.scalars(select(Run.id).order_by(Run.id))
    assert answer.headers["location"] == f"/runs/compare?run={first}&run={second}"
    assert "differ in the seed only" in admin.get(answer.headers["location"]).text


def test_a_licence_that_reaches_the_data_is_asked_about(session: Session, admin: TestClient) -> None:
    base = make_clip(session, reaches_data=True)
    answer = admin.post("/runs", data=form(base=base.id))
    assert answer.status_code == 422
    assert 'name="confirmed"' in answer.text
    assert admin.post("/runs", data=form(base=base.id, confirmed="true")).status_code == 303


def test_the_share_of_long_captions_is_said_where_it_was_counted(session: Session, admin: TestClient) -> None:
    snapshot = make_built_snapshot(session)
    values = form(snapshot=snapshot.number, batch_size=8, warmup_steps=2)
    assert "Not counted" in admin.get("/runs/new", params=values, headers=HTMX).text
    snapshot.report = snapshot.report | {"beyond_context": {"context": 77, "captions": 18, "share": 0.125}}
    session.flush()
    part = plain(admin.get("/runs/new", params=values, headers=HTMX).text)
    assert "At least 12.5 % are beyond the 32 tokens that it reads: so many are beyond 77" in part
    usual = values | {"architecture": "ViT-B-32"}
    part = plain(admin.get("/runs/new", params=usual, headers=HTMX).text)
    assert " 12.5 % are beyond the 77 tokens that it reads; what is beyond is not read" in part


def test_the_folder_of_a_base_that_has_none_yet_is_said_to_be_made_on_start(
    session: Session, admin: TestClient
) -> None:
    bare, packaged = make_clip(session), make_clip(session, name="packaged", pretrained="openai", package="clip-2")
    said = "PACKAGE is the folder of"
    assert said in admin.get("/runs/new", params=form(base=bare.id), headers=HTMX).text
    assert said not in admin.get("/runs/new", params=form(base=packaged.id), headers=HTMX).text


@pytest.mark.parametrize(
    "query",
    [f"like={2**70}", "like=x", "like=-1", "epochs=", "base=x&epochs=1", "recipe=none&fill=1", "snapshot=%00&epochs=2"],
)
def test_a_form_that_no_page_of_ours_sends_is_answered(admin: TestClient, query: str) -> None:
    assert admin.get(f"/runs/new?{query}").status_code == 200
