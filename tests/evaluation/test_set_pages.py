"""The pages of evaluation sets: what was recognised, what is wrong with it, and nothing that names a path."""

import io
import re

import pytest
from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs
from app.config import settings
from app.evaluation import folders
from app.evaluation.planning import wording_layout
from app.tables import EvaluationSet, Job, WorkQueue
from tests.evaluation.made import make_evaluation, make_set, make_wording
from tests.factories import make_encoder
from tests.web_client import SignIn


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "send", lambda job_id, queue: None)


def folder(name: str) -> None:
    (root,) = settings().evaluation_roots
    (root / name).mkdir(parents=True, exist_ok=True)


def test_an_admin_chooses_a_folder_and_its_reading_starts(session: Session, sign_in: SignIn) -> None:
    folder("colon")
    elm = sign_in("elm")
    assert '<option value="0/colon"' in elm.get("/evaluation/sets").text
    answer = elm.post("/evaluation/sets", data={"folder": "0/colon", "name": "Colon", "layout": "kather"})
    assert answer.status_code == 303
    made = session.scalars(select(EvaluationSet)).one()
    assert (made.name, made.folder, made.layout) == ("Colon", "0/colon", "kather")
    assert session.get_one(Job, made.job_id).arguments == {"set": made.id, "layout": "kather"}
    assert "hx-trigger=" in elm.get(answer.headers["location"]).text


@pytest.mark.parametrize("sent", [{"folder": "0/../etc"}, {"folder": "/etc"}, {}, {"folder": "0/colon", "layout": "x"}])
def test_what_is_not_listed_is_refused_with_what_was_typed(
    session: Session, sign_in: SignIn, sent: dict[str, str]
) -> None:
    folder("colon")
    answer = sign_in("elm").post("/evaluation/sets", data=sent | {"name": "Mine"})
    assert answer.status_code == 422
    assert 'value="Mine"' in answer.text
    assert session.scalars(select(EvaluationSet)).all() == []


def test_an_empty_list_says_where_sets_go(sign_in: SignIn) -> None:
    page = sign_in("fir").get("/evaluation/sets").text
    assert "below an evaluation root" in page
    assert "Register a set" not in page


def test_a_set_shows_counts_beside_the_published_ones_traps_licence_and_what_it_forbids(
    session: Session, sign_in: SignIn
) -> None:
    make_wording(session)
    made = make_set(session)
    page = sign_in("fir").get(f"/evaluation/sets/{made.id}").text
    assert "adipose tissue" in page
    assert "Published" in page
    assert "Colour alone tells the classes apart." in page
    assert "CC BY 4.0" in page
    assert "ADI/notes.txt" in page
    assert "it is no picture" in page
    assert "Version 1" in page
    bach = make_set(session, "BACH", "bach")
    assert "do not pass the pictures on" in sign_in("elm").get(f"/evaluation/sets/{bach.id}").text


@pytest.mark.parametrize(
    ("layout", "counts", "published"),
    [
        ("kather", {"ADI": [10_406, 1_338]}, {"ADI": "10,407 / 1,338", "All": "100,000 / 7,180"}),
        (
            "digestpath",
            {"benign": [39_000, 17_023], "malignant": [4_899, 1_791]},
            {"benign": "56,023 in all", "malignant": "6,690 in all", "All": "43,899 / 18,814"},
        ),
        ("sicapv2", {"G3": [3_000, 1_111]}, {"G3": "4,111 in all", "All": "18,783 in all"}),
        ("pcam", {"1": [131_072, 16_384]}, {"1": "–", "All": "262,144 / 32,768"}),
    ],
)
def test_each_class_stands_beside_its_published_count_by_split_or_as_a_whole_as_it_was_published(
    session: Session, sign_in: SignIn, layout: str, counts: dict[str, list[int]], published: dict[str, str]
) -> None:
    made = make_set(session, layout, layout)
    shape = made.report["variants"]["as published"]
    shape["counts"] = {key: {"train": train, "test": test} for key, (train, test) in counts.items()}
    made.report = made.report | {"classes": list(counts), "variants": {"as published": shape}}
    session.flush()
    page = sign_in("fir").get(f"/evaluation/sets/{made.id}").text
    rows = re.findall(r'<tr><th scope="row">(?:<b>)?(\w+).*?<td class="r muted">(.*?)</td></tr>', page)
    assert {key: said.strip() for key, said in rows} == published


def test_differing_counts_need_an_admins_yes(session: Session, sign_in: SignIn) -> None:
    made = make_set(session, ready_at=None)
    made.report = made.report | {"differences": ["as published: 60 pictures, 7,180 in the published set."]}
    session.flush()
    fir, elm = sign_in("fir"), sign_in("elm")
    page = fir.get(f"/evaluation/sets/{made.id}").text
    assert "60 pictures, 7,180 in the published set" in page
    assert "Go on all the same" not in page
    assert fir.post(f"/evaluation/sets/{made.id}/go-on").status_code == 403
    assert elm.post(f"/evaluation/sets/{made.id}/go-on").status_code == 303
    session.expire_all()
    assert made.ready_at is not None
    assert made.report["accepted_by"] == "elm"
    assert "Elm said to go on" in elm.get(f"/evaluation/sets/{made.id}").text
    assert elm.post(f"/evaluation/sets/{made.id}/go-on").status_code == 409


def test_a_name_of_a_file_can_do_nothing_to_the_page(session: Session, sign_in: SignIn) -> None:
    made = make_set(session)
    evil = "<script>alert(1)</script>.png"
    made.report = made.report | {"skipped": {"count": 1, "first": [[evil, "it is no picture"]]}}
    session.flush()
    page = sign_in("fir").get(f"/evaluation/sets/{made.id}").text
    assert evil not in page
    assert "&lt;script&gt;" in page


def test_a_preview_is_served_by_numbers_alone(session: Session, sign_in: SignIn) -> None:
    made = make_set(session)
    path = folders.thumbnail_file(made.id, made.items_sha256, 1)
    path.parent.mkdir(parents=True)
    buffer = io.BytesIO()
    Image.new("RGB", (176, 176)).save(buffer, "JPEG")
    path.write_bytes(buffer.getvalue())
    fir = sign_in("fir")
    answer = fir.get(f"/evaluation/sets/{made.id}/thumbs/1")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.headers["x-content-type-options"] == "nosniff"
    for number in ("2", "0", "-1", "%2e%2e%2f1", "1.jpg"):
        assert fir.get(f"/evaluation/sets/{made.id}/thumbs/{number}").status_code == 404


def test_items_and_problems_are_tables_without_formulas(session: Session, sign_in: SignIn) -> None:
    made = make_set(session)
    columns = {"variant": ["as published"], "number": [1], "id": ["=1+1.png"], "label": ["ADI"]}
    columns |= {"split": ["test"], "group": ["g"]}
    folders.write_table(folders.items_file(made.id, made.items_sha256), columns)
    fir = sign_in("fir")
    assert (
        fir.get(f"/evaluation/sets/{made.id}/items.csv").text.splitlines()[1] == "as published,1,'=1+1.png,ADI,test,g"
    )
    assert fir.get(f"/evaluation/sets/{made.id}/problems.csv").status_code == 404
    problems = {"path": ["@evil.png"], "what": ["unreadable"], "why": ["it can't be decoded"]}
    folders.write_table(folders.problems_file(made.id, made.items_sha256), problems)
    said = fir.get(f"/evaluation/sets/{made.id}/problems.csv").text.splitlines()
    assert said == ["path,what,why", "'@evil.png,unreadable,it can't be decoded"]
    assert fir.get("/evaluation/sets/999999").status_code == 404


def test_a_set_that_was_measured_on_says_how_often(session: Session, sign_in: SignIn) -> None:
    make_evaluation(session, make_encoder(session), make_set(session))
    assert '<td class="r hide-s">1</td>' in sign_in("fir").get("/evaluation/sets").text


def test_a_set_that_nothing_was_measured_on_is_deleted_and_may_be_registered_as_another_layout(
    session: Session, sign_in: SignIn
) -> None:
    folder("colon")
    elm, made = sign_in("elm"), make_set(session, "Mine", "folders")
    worded = wording_layout(made)
    folders.of_set(made.id).mkdir(parents=True, exist_ok=True)
    assert "Delete the set" in elm.get(f"/evaluation/sets/{made.id}").text
    assert sign_in("fir").post(f"/evaluation/sets/{made.id}/delete").status_code == 403
    assert elm.post(f"/evaluation/sets/{made.id}/delete").status_code == 303
    assert session.get(EvaluationSet, made.id) is None
    assert wording_layout(make_set(session, "Mine", "folders")) != worded  # whose classes may be others
    assert not folders.of_set(made.id).exists()
    assert "is deleted. Its folder is as it was" in elm.get("/evaluation/sets").text
    assert f"evaluation set {made.id}" in elm.get("/activity").text


def test_a_set_with_evaluations_or_one_that_is_being_read_stays(session: Session, sign_in: SignIn) -> None:
    measured, read = make_set(session), make_set(session, name="Being read")
    make_evaluation(session, make_encoder(session), measured)
    read.job_id = jobs.submit(session, "read_evaluation_set", WorkQueue.CPU, {"set": read.id}).id
    session.flush()
    elm = sign_in("elm")
    for one in (measured, read):
        assert "Delete the set" not in elm.get(f"/evaluation/sets/{one.id}").text
        assert elm.post(f"/evaluation/sets/{one.id}/delete").status_code == 409
        assert session.get(EvaluationSet, one.id) is not None
