"""The models' pages: what each one is and comes from, and what is asked before something that can't be taken back."""

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session

from app.encoders import queries
from app.encoders.policies import OWN_LICENCE
from app.prefilter import actions as prefilter
from app.tables import Classifier, EncoderKind, Event, Job, JobState, LabelSet, Run, Tally, Weights
from tests.factories import make_candidate, make_encoder
from tests.web_client import SignIn


def asked(session: Session, kind: str) -> list[Job]:
    return list(session.scalars(select(Job).where(Job.kind == kind)))


@pytest.fixture(autouse=True)
def counted_anew(session: Session) -> None:
    """Counts are kept 5 s, also beyond the test before."""
    session.execute(delete(Tally))


def test_a_page_without_encoders_says_where_the_first_comes_from(sign_in: SignIn) -> None:
    assert "The first one is registered by itself" in sign_in("elm").get("/models").text


def test_an_encoder_is_shown_with_all_that_makes_its_vectors(sign_in: SignIn, session: Session) -> None:
    values = {"name": "<b>CONCH</b>", "licence": "CC BY-NC-ND 4.0", "reaches_data": True, "checksum": "ab" * 32}
    encoder = make_encoder(session, **values, quick_gelu=True, width=768)
    drawn = make_encoder(
        session, name="drawn", weights=Weights.RANDOM, kind=EncoderKind.IMAGE, source="timm", width=2048
    )
    image = make_candidate(session).image_id
    session.execute(
        text("INSERT INTO embedding VALUES (:image, :encoder, '[1,0]')"), {"image": image, "encoder": encoder.id}
    )
    prefilter.use_encoder(session, encoder.id)
    elm = sign_in("elm")
    page = elm.get(f"/models/{encoder.id}").text
    for said in (
        "&lt;b&gt;CONCH&lt;/b&gt;",
        "licence reaches the data",
        "count models trained on its outputs, and datasets made with them, as derivatives",
        "ab" * 32,
        "768 numbers a vector",
        "1 of 1 image<",
        "below 1,000 vectors",
        ">Embedding</a>",
        "does not let it be passed on",
    ):
        assert said in page, said
    assert "<b>CONCH" not in page
    page = elm.get(f"/models/{drawn.id}").text
    for said in ("weights are random", "tell equal images from others", "pgvector indexes up to 2,000", "images only"):
        assert said in page, said
    page = elm.get("/models").text
    assert page.index("CONCH&lt;") < page.index(">drawn<")
    assert "Zero-shot, drawn shapes" in page
    assert "Licence reaches the data" in page
    assert "Random weights" in page


def test_an_encoder_in_use_offers_neither_use_nor_delete(sign_in: SignIn, session: Session) -> None:
    encoder = make_encoder(session)
    elm = sign_in("elm")
    assert f"/models/{encoder.id}/use" in elm.get(f"/models/{encoder.id}").text
    prefilter.use_encoder(session, encoder.id)
    page = elm.get(f"/models/{encoder.id}").text
    assert f"/models/{encoder.id}/use" not in page
    assert f"/models/{encoder.id}/delete" not in page
    answer = elm.post(f"/models/{encoder.id}/delete", data={"confirm": str(encoder.id)})
    assert (answer.status_code, "is in use" in answer.text) == (409, True)


def test_an_encoder_under_a_classifier_is_not_deleted(sign_in: SignIn, session: Session) -> None:
    encoder = make_encoder(session)
    label_set = LabelSet(name="l")
    session.add(label_set)
    session.flush()
    session.add(Classifier(name="head 7", encoder_id=encoder.id, label_set_id=label_set.id, head={}, metrics={}))
    session.flush()
    elm = sign_in("elm")
    page = elm.get(f"/models/{encoder.id}").text
    assert "stands on it: the classifier head 7" in page
    answer = elm.post(f"/models/{encoder.id}/delete", data={"confirm": str(encoder.id)})
    assert (answer.status_code, "head 7" in answer.text) == (409, True)


def test_using_an_encoder_is_a_job_that_the_page_follows(sign_in: SignIn, session: Session) -> None:
    encoder = make_encoder(session, name="second")
    elm = sign_in("elm")
    assert elm.post(f"/models/{encoder.id}/use").status_code == 303
    (job,) = asked(session, "switch_encoder")
    assert (job.arguments, job.queue.value) == ({"encoder": encoder.id}, "gpu")
    page = elm.get("/models").text
    assert f"Embed under model {encoder.id}" in page
    assert "No worker serves “gpu”" in page
    assert 'hx-trigger="every 2s"' in page
    assert "/use" not in page
    part = elm.get("/models", headers={"HX-Request": "true"}).text
    assert part.lstrip().startswith('<div class="stack" id="live"')
    event = session.scalars(select(Event).where(Event.act == "encoder.use_asked")).one()
    assert event.subject_id == "second"


def test_a_licence_that_reaches_the_data_is_confirmed_where_it_is_used(sign_in: SignIn, session: Session) -> None:
    encoder = make_encoder(session, reaches_data=True)
    elm = sign_in("elm")
    refused = elm.post(f"/models/{encoder.id}/use")
    assert (refused.status_code, "Tick this to go on." in refused.text) == (422, True)
    assert not asked(session, "switch_encoder")
    assert elm.post(f"/models/{encoder.id}/use", data={"confirmed": "true"}).status_code == 303
    assert asked(session, "switch_encoder")


def test_deleting_asks_for_the_number(sign_in: SignIn, session: Session) -> None:
    encoder = make_encoder(session)
    elm = sign_in("elm")
    refused = elm.post(f"/models/{encoder.id}/delete", data={"confirm": "no"})
    assert (refused.status_code, f"Type {encoder.id} to go on." in refused.text) == (422, True)
    assert elm.post(f"/models/{encoder.id}/delete", data={"confirm": str(encoder.id)}).status_code == 303
    assert asked(session, "delete_encoder")


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"source": "open_clip"}, "Name the model."),
        ({"source": "pickle", "model": "x"}, "Choose one of open_clip, timm"),
        ({"source": "open_clip", "model": "ViT-B-32", "checkpoint": "../../etc/passwd"}, "Only .safetensors"),
        ({"source": "open_clip", "model": "ViT-B-32", "checkpoint": "../x.safetensors"}, "There is no file"),
        ({"source": "open_clip", "model": "ViT-B-32", "pretrained": "/etc/passwd"}, "A tag has letters"),
        ({"source": "open_clip", "model": "x" * 300}, "at most 200"),
        ({"source": "open_clip", "model": "MahmoodLab/CONCH"}, "Tick this to go on."),
        ({}, "Fill this in."),
    ],
)
def test_what_can_be_refused_without_the_network_is_refused_at_once_and_stays_typed(
    sign_in: SignIn, session: Session, sent: dict[str, str], said: str
) -> None:
    answer = sign_in("elm").post("/models", data=sent)
    assert answer.status_code == 422
    assert said in answer.text
    assert all(f'value="{typed}"' in answer.text for typed in (sent.get("model"), sent.get("pretrained")) if typed)
    assert not asked(session, "register_encoder")


def test_registering_is_a_job_whose_failure_is_told_on_the_page(sign_in: SignIn, session: Session) -> None:
    elm = sign_in("elm")
    sent = {"source": "open_clip", "model": "ViT-B-32", "pretrained": "laion2b_s34b_b79k", "quick_gelu": "true"}
    assert elm.post("/models", data=sent).status_code == 303
    (job,) = asked(session, "register_encoder")
    assert (job.arguments["pretrained"], job.arguments["quick_gelu"]) == ("laion2b_s34b_b79k", True)
    failed = {"state": JobState.FAILED, "error": "https://x can't be reached. <i>"}
    session.execute(update(Job).where(Job.id == job.id).values(**failed))
    page = elm.get("/models").text
    assert "Register ViT-B-32 failed." in page
    assert "can&#39;t be reached. &lt;i&gt;" in page


def test_each_failed_job_is_told_until_it_is_asked_for_again_and_a_models_page_tells_its_own(
    sign_in: SignIn, session: Session
) -> None:
    one, other = make_encoder(session, name="one"), make_encoder(session, name="other")
    elm = sign_in("elm")
    for name in ("first", "second"):
        sent = {"source": "open_clip", "model": "ViT-B-32", "pretrained": "openai", "name": name}
        assert elm.post("/models", data=sent).status_code == 303
    elm.post(f"/models/{one.id}/index")
    session.execute(update(Job).values(state=JobState.FAILED, error="It broke."))
    page = elm.get("/models").text
    for name in ("Register first", "Register second", f"Index of model {one.id}"):
        assert f"{name} failed." in page
    assert f"Index of model {one.id} failed." in elm.get(f"/models/{one.id}").text
    assert "failed." not in elm.get(f"/models/{other.id}").text
    assert elm.post("/models", data=sent).status_code == 303
    page = elm.get("/models").text
    assert "Register first failed." in page
    assert "Register second failed." not in page


def test_whoever_may_not_see_models_is_told_who_may(sign_in: SignIn) -> None:
    assert "This page is for admins or researchers." in sign_in("alder").get("/models").text


def test_the_licence_of_what_was_trained_here_from_nothing_is_ours_to_choose(sign_in: SignIn, session: Session) -> None:
    made = make_encoder(session, name="ours", licence=OWN_LICENCE)
    session.add(Run(encoder_id=made.id, architecture="tiny", recipe="scratch", settings={}))
    session.flush()
    page = sign_in("elm").get(f"/models/{made.id}").text
    assert "Yours to choose" in page
    assert "recipe From scratch, small" in page
    assert 'data-copy="#snippet"' not in page


def test_the_pre_filters_page_leads_to_the_models(sign_in: SignIn) -> None:
    assert 'href="/models"' in sign_in("elm").get("/prefilter").text


def test_an_index_is_asked_for_by_hand_where_one_is_missing(
    sign_in: SignIn, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = make_encoder(session)
    monkeypatch.setattr(queries, "INDEX_FROM", 0)
    elm = sign_in("elm")
    assert "Build the index" in elm.get(f"/models/{encoder.id}").text
    assert elm.post(f"/models/{encoder.id}/index").status_code == 303
    assert asked(session, "index_encoder")
