"""The pages of snapshots: what the form shows before anything is made, and ids that none can have."""

import re

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.prefilter.queries import stage_row
from app.snapshots import freezing
from app.snapshots.splits import usual_sizes
from app.tables import Encoder, Job
from tests.factories import make_classifier
from tests.snapshots.test_snapshot_job import accepted
from tests.web_client import SignIn

HUGE = 2**63
HTMX = {"HX-Request": "true"}


@pytest.fixture
def admin(sign_in: SignIn) -> TestClient:
    return sign_in("elm")


@pytest.mark.parametrize("rest", ["", "/archive", "/files/README.md"])
@pytest.mark.parametrize("number", [HUGE, 10**30, 0, -1])
def test_a_number_that_no_snapshot_can_have_is_not_found(admin: TestClient, number: int, rest: str) -> None:
    answer = admin.get(f"/snapshots/{number}{rest}")
    assert answer.status_code == 404
    assert "There is no such page" in answer.text


@pytest.mark.parametrize("query", [f"before={HUGE}", "before=x", "val=-1&test=1", f"val=1&test={HUGE}"])
def test_a_place_or_a_size_that_can_t_be_is_refused(admin: TestClient, query: str) -> None:
    assert admin.get(f"/snapshots?{query}").status_code == 422


@pytest.mark.parametrize(
    ("pairs", "sizes"), [(0, (0, 0)), (20, (2, 2)), (4_999, (499, 499)), (50_000, (500, 5000)), (207_000, (500, 5000))]
)
def test_a_tenth_of_few_pairs_is_held_out_at_first(pairs: int, sizes: tuple[int, int]) -> None:
    assert usual_sizes(pairs) == sizes


def test_the_form_begins_with_sizes_that_fit_the_accepted_pairs(session: Session, admin: TestClient) -> None:
    accepted(session, 20)
    text = admin.get("/snapshots").text
    assert "Make a snapshot of 20 accepted pairs" in text
    assert re.search(r'name="val"[^>]*value="2"', text)
    assert re.search(r'name="test"[^>]*value="2"', text)


def figures(text: str) -> list[str]:
    return re.findall(r"<b>(\d+)</b>", text)


def test_the_splits_are_shown_before_they_are_made(session: Session, admin: TestClient) -> None:
    accepted(session, 10)
    part = admin.get("/snapshots?val=1&test=2&note=", headers=HTMX).text
    assert part.lstrip().startswith('<div class="stack" id="plan"')
    assert figures(part) == ["7", "1", "2", "0"]
    assert "left to train on" not in part
    assert session.scalars(select(Job)).all() == []


def test_the_splits_are_shown_without_scripts_too(session: Session, admin: TestClient) -> None:
    accepted(session, 10)
    text = admin.get("/snapshots?val=1&test=2&note=For+the+paper").text
    assert figures(text)[:4] == ["7", "1", "2", "0"]
    assert re.search(r'name="test"[^>]*value="2"', text)
    assert 'value="For the paper"' in text


def test_sizes_that_leave_nearly_nothing_to_train_on_are_warned_of(session: Session, admin: TestClient) -> None:
    accepted(session, 10)
    part = admin.get("/snapshots?val=500&test=5000", headers=HTMX).text
    assert "Only 1 pair would be left to train on." in part
    assert "Test: 9 of 5,000 wanted pairs." in part


def test_what_is_shown_is_what_freezing_makes(session: Session) -> None:
    accepted(session, 6, author="one")
    accepted(session, 6)
    before = freezing.plan(session, 2, 3)
    frozen = freezing.freeze(session, None, None, 2, 3, "")
    assert frozen.report["counts"] == before.counts


def test_a_researcher_sees_the_list_and_no_plan(session: Session, sign_in: SignIn) -> None:
    accepted(session, 2)
    answer = sign_in("fir").get("/snapshots?val=1&test=1")
    assert answer.status_code == 200
    assert "Make a snapshot" not in answer.text
    assert "of 2 pairs" not in answer.text


def test_long_captions_are_said_once_they_were_counted(session: Session, admin: TestClient) -> None:
    accepted(session, 4)
    made = freezing.freeze(session, None, None, 1, 1, "")
    session.flush()
    assert "Long captions" not in admin.get(f"/snapshots/{made.number}").text
    made.report = {**made.report, "beyond_context": {"context": 77, "captions": 4_000, "share": 0.021}}
    session.flush()
    text = re.sub(r"<[^>]+>", "", admin.get(f"/snapshots/{made.number}").text)
    assert "2.1\N{NO-BREAK SPACE}% of 4,000 captions go beyond the 77 tokens that CLIP reads" in text


@pytest.mark.parametrize("stage", ["embedding", "domain"])
def test_an_encoder_whose_licence_reaches_what_it_selects_is_noted_at_the_freeze_and_said(
    session: Session, admin: TestClient, stage: str
) -> None:
    accepted(session, 4)
    classifier = make_classifier(session)
    encoder = session.get_one(Encoder, classifier.encoder_id)
    encoder.name, encoder.licence, encoder.reaches_data = "CONCH", "CC BY-NC-ND 4.0", True
    row = stage_row(session, stage)
    in_use = {"classifier": classifier.id} if stage == "domain" else {"encoder": encoder.id}
    row.setting = {**row.setting, **in_use}
    session.flush()
    made = freezing.freeze(session, None, None, 1, 1, "")
    noted = {"stage": stage, "encoder": "CONCH", "licence": "CC BY-NC-ND 4.0", "reaches_data": True}
    assert made.report["filtered_by"] == [noted]
    assert "The licence of CONCH reaches these pairs." in admin.get(f"/snapshots/{made.number}").text
    encoder.reaches_data = False
    row.setting = {name: value for name, value in row.setting.items() if name not in in_use}
    session.flush()
    assert "reaches these pairs" in admin.get(f"/snapshots/{made.number}").text  # as it was when it was frozen


def test_a_snapshot_that_no_such_encoder_selected_says_nothing_of_licences(session: Session, admin: TestClient) -> None:
    accepted(session, 4)
    made = freezing.freeze(session, None, None, 1, 1, "")
    session.flush()
    assert made.report["filtered_by"] == []
    assert "reaches these pairs" not in admin.get(f"/snapshots/{made.number}").text
