"""What a run starts from: a model by a link on its page or by its name, or another run's last epoch."""

import re
import shlex

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from app import cli
from app.encoders import queries as encoders
from app.encoders.card import card
from app.errors import NotFound
from app.tables import EncoderKind, Run, Weights
from app.training.settings import BY_NAME
from tests.factories import make_encoder
from tests.training.made_runs import make_built_snapshot, make_clip, make_run, plain
from tests.web_client import SignIn


def chosen(page: str) -> list[str]:
    return re.findall(r'name="base" value="(\d*)" checked', page)


def test_the_form_leads_to_the_registration_and_a_models_page_back_to_a_form_that_starts_from_it(
    session: Session, sign_in: SignIn
) -> None:
    make_built_snapshot(session)
    older, newer = make_clip(session, name="older"), make_clip(session, name="newer", model="ViT-B-16")
    elm = sign_in("elm")
    usual = elm.get("/runs/new").text
    assert chosen(usual) == [str(newer.id)]
    assert 'href="/models#register"' in usual
    assert 'id="register"' in elm.get("/models").text
    assert f'href="/runs/new?base={older.id}"' in elm.get(f"/models/{older.id}").text
    page = elm.get(f"/runs/new?base={older.id}").text
    assert chosen(page) == [str(older.id)]
    assert "t-bad" not in page
    assert chosen(elm.get("/runs/new?base=999999").text) == [str(newer.id)]


def test_random_weights_are_started_from_with_the_recipe_for_them(session: Session, sign_in: SignIn) -> None:
    drawn = make_clip(session, name="drawn", weights=Weights.RANDOM)
    page = sign_in("elm").get(f"/runs/new?base={drawn.id}").text
    assert chosen(page) == [str(drawn.id)]
    assert '<option value="scratch" selected>' in page


def test_nobody_is_offered_what_would_be_refused(session: Session, sign_in: SignIn) -> None:
    clip, images = make_clip(session), make_encoder(session, kind=EncoderKind.IMAGE, source="timm")
    assert "/runs/new" not in sign_in("fir").get(f"/models/{clip.id}").text
    assert "/runs/new?base" not in sign_in("elm").get(f"/models/{images.id}").text


def test_a_runs_page_says_what_was_changed_in_its_recipe(session: Session, sign_in: SignIn) -> None:
    own = BY_NAME["ip-clip"].settings.as_json() | {"learning_rate": 3e-6, "siglip": True}
    run, as_it_is = make_run(session, epochs=0), make_run(session, epochs=0)
    run.settings, as_it_is.settings = own, BY_NAME["ip-clip"].settings.as_json()
    session.flush()
    elm = sign_in("elm")
    page = plain(elm.get(f"/runs/{run.id}").text)
    assert "Recipe IP-CLIP&#39;s start point Changed in it Learning rate, SigLIP loss" in page
    assert "Changed in it" not in elm.get(f"/runs/{as_it_is.id}").text


@pytest.mark.parametrize("more", ["0", "-1"])
def test_a_run_goes_on_by_one_epoch_at_least(session: Session, sign_in: SignIn, more: str) -> None:
    run = make_run(session, epochs=2)
    answer = sign_in("elm").post(f"/runs/{run.id}/more", data={"more": more})
    assert answer.status_code == 422
    assert session.scalars(select(Run.id)).all() == [run.id]


def test_whoever_compares_runs_or_reads_of_a_model_is_told_which_run_it_went_on_from(
    session: Session, sign_in: SignIn
) -> None:
    first, second = make_run(session), make_run(session, goes_on_from=7)
    made = make_encoder(session)
    second.encoder_id = made.id
    session.flush()
    elm = sign_in("elm")
    assert "ViT-S-32, after run 7" in plain(elm.get(f"/runs/compare?run={first.id}&run={second.id}").text)
    assert "after the last epoch of run 7" in plain(elm.get(f"/models/{made.id}").text)
    assert "after the last epoch of run 7" in card(
        encoders.one_shown(session, made.id), encoders.line(session, made.id), "folder"
    )


@pytest.mark.usefixtures("database_url")
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("ViT-B-16/openai", "ipath encoder add ViT-B-16 --pretrained openai --name ViT-B-16/openai"),
        ("ViT-L-14", "ipath encoder add ViT-L-14 --pretrained TAG --name ViT-L-14"),
        ("vinid/plip", "ipath encoder add hf-hub:vinid/plip --name vinid/plip"),
        ("local-dir:plip", "ipath encoder add local-dir:plip --name local-dir:plip"),
        ("my runs/best.pt", "ipath encoder add MODEL --checkpoint 'my runs/best.pt' --name 'my runs/best.pt'"),
    ],
)
def test_who_names_a_model_that_is_not_registered_is_told_the_command_that_registers_it(
    name: str, command: str
) -> None:
    told = CliRunner().invoke(cli.app, ["train", "--practice", "--base", name])
    assert isinstance(told.exception, NotFound)
    assert told.exception.what_next.endswith(command)
    assert CliRunner().invoke(cli.app, [*shlex.split(command)[1:], "--help"]).exit_code == 0
