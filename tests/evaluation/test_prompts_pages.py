"""Wordings: versions that never change, edited as new ones, and what used which."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.evaluation import actions, queries, wordings
from app.evaluation.planning import wording_layout
from app.tables import ClassPrompts
from tests.evaluation.made import make_evaluation, make_set, make_wording
from tests.factories import make_encoder
from tests.web_client import SignIn

FORM = {
    "templates": "an image of {}\n{}",
    "name-ADI": "fat\nadipose tissue",
    "name-TUM": "tumour",
    "note": "more names",
}


@pytest.fixture
def first(session: Session) -> ClassPrompts:
    return make_wording(session)


def test_an_edit_is_a_new_version_and_the_old_one_stays(session: Session, first: ClassPrompts, sign_in: SignIn) -> None:
    answer = sign_in("elm").post(f"/evaluation/wordings/{first.id}", data=FORM)
    assert answer.status_code == 303
    newest = queries.newest_wording(session, "kather")
    assert newest
    assert (newest.version, newest.note) == (2, "more names")
    assert newest.names == {"ADI": ["fat", "adipose tissue"], "TUM": ["tumour"]}
    assert newest.templates == ["an image of {}", "{}"]
    assert first.names == {"ADI": ["adi"], "TUM": ["tum"]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"templates": ""}, "at least one template"),
        ({"templates": "an image"}, "once, where the class stands"),
        ({"templates": "{} and {}"}, "once, where the class stands"),
        ({"name-ADI": "  \n "}, "Give ADI at least one name"),
        ({"templates": "a picture of {}\n{}", "name-ADI": "adi", "name-TUM": "tum"}, "Version 1 says exactly this"),
    ],
)
def test_an_empty_prompt_or_no_change_is_refused_with_what_was_typed(
    session: Session, first: ClassPrompts, sign_in: SignIn, change: dict[str, str], said: str
) -> None:
    answer = sign_in("elm").post(f"/evaluation/wordings/{first.id}", data=FORM | change)
    assert answer.status_code == 422
    assert said in answer.text
    assert len(queries.wordings(session, "kather")) == 1


def test_two_versions_are_compared_place_by_place(session: Session, first: ClassPrompts, sign_in: SignIn) -> None:
    second = make_wording(session, version=2, names={"ADI": ["adi", "fat"], "TUM": ["tum"]}, templates=["{}"])
    assert wordings.changes(first, second) == [
        wordings.Change("ADI", [], ["fat"]),
        wordings.Change("templates", ["a picture of {}"], []),
    ]
    page = sign_in("fir").get(f"/evaluation/wordings/{second.id}?against={first.id}").text
    assert "<ins>fat</ins>" in page
    assert "<del>a picture of {}</del>" in page


def test_a_page_names_the_evaluations_that_used_a_version(
    session: Session, first: ClassPrompts, sign_in: SignIn
) -> None:
    made = make_evaluation(session, make_encoder(session, name="tiny"), make_set(session), wording=first)
    page = sign_in("fir").get(f"/evaluation/wordings/{first.id}").text
    assert f'href="/evaluation/{made.id}"' in page
    assert "tiny on Kather" in page
    assert "a picture of adi" in page


def test_readers_see_wordings_and_write_none(first: ClassPrompts, sign_in: SignIn) -> None:
    fir = sign_in("fir")
    assert "<textarea" not in fir.get(f"/evaluation/wordings/{first.id}").text
    assert fir.post(f"/evaluation/wordings/{first.id}", data=FORM).status_code == 403


def test_the_database_refuses_to_change_a_version(session: Session, first: ClassPrompts) -> None:
    with pytest.raises(DBAPIError), session.begin_nested():
        session.execute(text("UPDATE class_prompts SET note = 'other'"))


def test_a_set_begins_with_the_wordings_of_the_literature_and_takes_ours_by_itself(session: Session) -> None:
    made = make_set(session)
    actions.add_defaults(session, made, ["ADI", "TUM"])
    actions.add_defaults(session, made, ["ADI", "TUM"])
    found = queries.wordings(session, "kather")
    assert len(found) > 3
    assert [one.row.version for one in found] == list(range(len(found), 0, -1))
    assert len({one.row.note for one in found}) == len(found)
    assert any("PLIP" in one.row.note for one in found)
    assert "PLIP" not in found[0].row.note


def test_a_set_s_own_templates_are_offered_and_ours_stay_the_newest(session: Session) -> None:
    made = make_set(session)
    made.layout = "clip_benchmark"
    actions.add_defaults(session, made, ["ADI", "TUM"], ["a photo of {}.", "x" * 400 + "{}"])
    newest, *_, own = queries.wordings(session, wording_layout(made))
    assert (own.row.templates, own.row.note) == (["a photo of {}."], "The set's own templates.")
    assert newest.row.templates != own.row.templates
