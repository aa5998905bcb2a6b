"""The page of one evaluation: every figure opens to what stands behind it, and nothing is shown that is not so."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs
from app.curation import actions as curation
from app.curation import leases, moves
from app.encoders import queries as encoders
from app.evaluation import catalogue, folders, shown
from app.evaluation.policies import Task
from app.snapshots.freezing import freeze
from app.tables import Event, Job, ReviewKind, WorkQueue
from tests.curation.test_decide import decision
from tests.evaluation.made import figures, make_evaluation, make_set, make_wording
from tests.factories import make_candidate, make_encoder, make_person
from tests.web_client import SignIn


def job_of(session: Session, evaluation_id: int) -> Job:
    arguments = {"evaluation": evaluation_id}
    job = jobs.submit(session, "evaluate", WorkQueue.GPU, arguments, dedupe=f"evaluate:{evaluation_id}")
    session.flush()
    return job


def test_a_figure_opens_to_its_interval_prompts_settings_command_and_versions(
    session: Session, sign_in: SignIn
) -> None:
    made = make_evaluation(
        session, make_encoder(session, name="tiny"), make_set(session), wording=make_wording(session)
    )
    page = sign_in("fir").get(f"/evaluation/{made.id}").text
    assert "70.0 %" in page
    assert "60.0 to 80.0" in page
    assert "Version 1" in page
    assert "as published" in page
    assert "torch 2.14" in page
    assert "--model tiny" in page
    assert "--set Kather --task zero-shot" in page
    assert "ADI as TUM, 0.97" in page


def test_what_was_skipped_is_named_with_its_reason(session: Session, sign_in: SignIn) -> None:
    made = make_evaluation(session, make_encoder(session), make_set(session))
    page = sign_in("fir").get(f"/evaluation/{made.id}").text
    assert "1 of 21" in page
    assert "ADI/b.tif" in page
    assert "it can&#39;t be read" in page


def test_random_weights_are_said(session: Session, sign_in: SignIn) -> None:
    made = make_evaluation(session, make_encoder(session, weights="random"), make_set(session))
    assert "its figures say nothing about pathology" in sign_in("fir").get(f"/evaluation/{made.id}").text


def test_items_that_were_seen_in_training_are_counted_and_the_figures_without_them_stand_beside(
    session: Session, sign_in: SignIn
) -> None:
    seen = {
        "checked": True,
        "items": 2,
        "exact": 1,
        "perceptual": 1,
        "semantic": 0,
        "training": 30,
        "list": [{"item": "ADI/a.tif", "how": "the same file", "candidate": 7}],
        "without": {"accuracy": 0.61},
    }
    metrics = figures(0.7) | {"contamination": seen}
    made = make_evaluation(session, make_encoder(session), make_set(session), metrics=metrics)
    page = sign_in("elm").get(f"/evaluation/{made.id}").text
    assert "2 items were seen in training" in page
    assert "training pairs of this model: 1 the same file, 1 the same picture." in page
    assert "61.0 %" in page
    assert 'href="/candidates/7"' in page


def test_where_all_items_were_seen_no_figures_without_them_are_promised(session: Session, sign_in: SignIn) -> None:
    seen = {"checked": True, "items": 1, "post": 1, "training": 30, "list": [], "without": {}}
    metrics = figures(0.7) | {"contamination": seen}
    made = make_evaluation(session, make_encoder(session), make_set(session), metrics=metrics)
    page = sign_in("fir").get(f"/evaluation/{made.id}").text
    assert "1 item was seen in training" in page
    assert "1 of the same post." in page
    assert "Too few are left to give figures without them." in page


def test_a_set_that_is_not_as_published_is_said_on_the_page(session: Session, sign_in: SignIn) -> None:
    made_set = make_set(session)
    made_set.report = made_set.report | {"differences": ["19 pictures of class ADI, 1,338 in the published set."]}
    session.flush()
    made = make_evaluation(session, make_encoder(session), made_set)
    assert "is not the set as published" in sign_in("fir").get(f"/evaluation/{made.id}").text


def test_one_without_figures_shows_its_job_and_may_be_stopped_by_an_admin_alone(
    session: Session, sign_in: SignIn
) -> None:
    made = make_evaluation(session, make_encoder(session), make_set(session), metrics={})
    job = job_of(session, made.id)
    made.job_id = job.id
    session.flush()
    elm, fir = sign_in("elm"), sign_in("fir")
    assert "hx-trigger=" in fir.get(f"/evaluation/{made.id}").text
    assert fir.post(f"/evaluation/{made.id}/cancel").status_code == 403
    assert elm.post(f"/evaluation/{made.id}/cancel").status_code == 303
    session.expire_all()
    assert session.get_one(Job, job.id).state == "cancelled"
    page = elm.get(f"/evaluation/{made.id}").text
    assert "Try again" in page
    assert "hx-trigger=" not in page


def test_a_page_that_waited_for_an_evaluation_swaps_its_figures_in(session: Session, sign_in: SignIn) -> None:
    made = make_evaluation(session, make_encoder(session), make_set(session))
    part = sign_in("fir").get(f"/evaluation/{made.id}", headers={"HX-Request": "true"}).text
    assert "<html" not in part
    assert "60.0 to 80.0" in part


def test_one_that_was_stopped_goes_on_as_a_new_job_and_only_once(session: Session, sign_in: SignIn) -> None:
    made = make_evaluation(session, make_encoder(session), make_set(session), metrics={})
    job = job_of(session, made.id)
    made.job_id = job.id
    session.flush()
    elm = sign_in("elm")
    elm.post(f"/evaluation/{made.id}/cancel")
    assert elm.post(f"/evaluation/{made.id}/again").status_code == 303
    session.expire_all()
    assert made.job_id != job.id
    assert session.get_one(Job, made.job_id).retry_of == job.id
    assert elm.post(f"/evaluation/{made.id}/again").status_code == 409


@pytest.mark.parametrize("what", ["passport", "predictions", "items.csv"])
def test_nothing_can_be_downloaded_of_one_without_figures(session: Session, sign_in: SignIn, what: str) -> None:
    made = make_evaluation(session, make_encoder(session), make_set(session), metrics={})
    assert sign_in("fir").get(f"/evaluation/{made.id}/{what}").status_code == 409


def test_a_few_shot_evaluation_shows_each_number_of_pictures_with_its_draws(session: Session, sign_in: SignIn) -> None:
    by_k = [{"k": 1, "mean": 0.5, "low": 0.4, "high": 0.6}, {"k": 2, "mean": 0.6, "low": 0.55, "high": 0.65}]
    found = {"balanced_accuracy.k1": {"value": 0.5, "low": 0.4, "high": 0.6}}
    metrics = figures(0.7) | {"figures": found, "by_k": by_k, "confusion": []}
    made = make_evaluation(session, make_encoder(session), make_set(session), Task.FEW_SHOT, metrics)
    page = sign_in("fir").get(f"/evaluation/{made.id}").text
    assert "Balanced accuracy, 1 a class" in page
    assert "55.0" in page


def test_the_headline_of_a_task_names_its_own_figures() -> None:
    there = {"text_to_image.r1.strict": {"value": 0.1}, "accuracy": {"value": 0.2}}
    assert [key for key, _ in shown.headline(Task.RETRIEVAL, {"figures": there})] == ["text_to_image.r1.strict"]
    assert [key for key, _ in shown.headline(Task.ZERO_SHOT, {"figures": there})] == ["accuracy"]


def test_a_search_shows_each_figure_with_its_chance_and_examples_by_their_pictures(
    session: Session, sign_in: SignIn
) -> None:
    oak = make_person(session, "oak")
    accepted = make_candidate(session, caption="Naevus, compound.", with_blob=True)
    (lease,) = leases.hold(session, oak)
    curation.decide(session, oak, decision(lease, ReviewKind.ACCEPT, caption="Naevus, compound."))
    snapshot = freeze(session, None, None, 0, 0, "")
    key = f"{accepted.id:012d}"
    example = {"query": key, "rank": 1.5, "results": [key], "right": [key]}
    examples = [example | {"direction": way} for way in ("text_to_image", "image_to_text")]
    found = {"text_to_image.r1.strict": {"value": 0.25, "low": 0.1, "high": 0.4}}
    metrics = figures(0.7) | {"figures": found, "chance": {"text_to_image.r1.strict": 0.0002}, "confusion": []}
    metrics |= {"examples": examples, "strict_n": 1, "n": 5000}
    made = make_evaluation(session, make_encoder(session), snapshot, Task.RETRIEVAL, metrics)
    page = sign_in("fir").get(f"/evaluation/{made.id}").text
    assert "Text to image, R@1, strict" in page
    assert "10.0 to 40.0" in page
    assert "0.02" in page
    assert "its own at rank 1.5" in page
    assert page.count("Naevus, compound.") == 2
    assert "--snapshot 1 --task retrieval" in page
    moves.withdraw(session, [accepted.id])
    assert "Naevus" not in sign_in("elm").get(f"/evaluation/{made.id}").text


def test_a_leaking_variant_is_said_and_the_leak_safe_one_is_offered(session: Session, sign_in: SignIn) -> None:
    variants = catalogue.known("wsss4luad").variants
    leaking, safe = (next(one.name for one in variants if one.leak_safe is told) for told in (False, True))
    on = make_set(session, "Slides", "wsss4luad")
    shape = on.report["variants"]["as published"]
    on.report = on.report | {"variants": {leaking: shape, safe: shape}}
    session.flush()
    made = make_evaluation(session, make_encoder(session), on, variant=leaking)
    client = sign_in("elm")
    page = client.get(f"/evaluation/{made.id}").text
    assert f"The variant {leaking} leaks." in page
    assert f"Evaluate on {safe}</a>" in page
    other = make_evaluation(session, make_encoder(session), on, variant=safe)
    assert "leaks." not in client.get(f"/evaluation/{other.id}").text


def test_an_evaluation_is_deleted_with_its_files_once_its_number_was_typed(session: Session, sign_in: SignIn) -> None:
    encoder = make_encoder(session, name="tiny")
    made = make_evaluation(session, encoder, make_set(session))
    folder = folders.of_evaluation(made.id)
    folder.mkdir(parents=True)
    (folder / "passport.json.gz").write_bytes(b"x")
    client, url = sign_in("elm"), f"/evaluation/{made.id}/delete"
    refused = client.post(url, data={"confirm": ""})
    assert refused.status_code == 422
    assert f"Type {made.id} to go on." in refused.text
    assert client.post(url, data={"confirm": str(made.id)}).status_code == 303
    assert not folder.exists()
    assert client.get(f"/evaluation/{made.id}").status_code == 404
    assert not encoders.uses(session, encoder.id)
    event = session.scalars(select(Event).where(Event.act == "evaluation.deleted")).one()
    assert event.details == {"model": "tiny", "on": "Kather", "task": "zero_shot"}


def test_an_evaluation_that_waits_is_not_deleted(session: Session, sign_in: SignIn) -> None:
    made = make_evaluation(session, make_encoder(session), make_set(session), metrics={})
    made.job_id = job_of(session, made.id).id
    session.flush()
    client = sign_in("elm")
    assert "Delete this evaluation" not in client.get(f"/evaluation/{made.id}").text
    answer = client.post(f"/evaluation/{made.id}/delete", data={"confirm": str(made.id)})
    assert answer.status_code == 409
    assert "Cancel it first." in answer.text
