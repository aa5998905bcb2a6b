"""Training from reviews: what is learned from, measured on authors nobody learned from, and used only when told."""

from collections.abc import Callable

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import SYSTEM
from app.curation import moves
from app.db import transaction
from app.errors import Conflict
from app.prefilter import queries, training
from app.storage import blobs
from app.tables import (
    Assignment,
    Candidate,
    CandidateState,
    Classifier,
    Image,
    Job,
    JobState,
    Label,
    Post,
    Review,
    ReviewKind,
    ReviewReason,
)
from tests.factories import make_candidate, make_classifier, make_person
from tests.web_client import SignIn
from workers import main as worker
from workers.training import Example

S = CandidateState


def judged(session: Session, author: str, good: bool, picture: bytes | None = None, reason: str = "") -> Candidate:
    """A candidate that a person accepted, or rejected for a reason."""
    candidate = make_candidate(session, author=author)
    if picture:
        sha256 = blobs().put(picture)
        session.execute(update(Image).where(Image.id == candidate.image_id).values(sha256=sha256))
    person = session.scalar(select(Review.user_id).limit(1)) or make_person(session, "alder").user_id
    slot = session.scalars(select(Assignment).where(Assignment.candidate_id == candidate.id)).one()
    review = Review(
        candidate_id=candidate.id,
        user_id=person,
        round=1,
        purpose=slot.purpose,
        kind=ReviewKind.ACCEPT if good else ReviewKind.REJECT,
        submission_id=func.gen_random_uuid(),
    )
    session.add(review)
    session.flush()
    if not good:
        session.add(ReviewReason(review_id=review.id, reason=reason or training.NOT_HISTOLOGY))
    slot.user_id, slot.review_id = person, review.id
    session.flush()
    moves.move(session, [candidate.id], S.QUEUED, S.ACCEPTED if good else S.REJECTED)
    return candidate


def test_accepted_ones_and_those_that_are_no_histology_are_learned_from_and_other_rejects_are_not(
    session: Session,
) -> None:
    judged(session, "one", True)
    judged(session, "two", False)
    judged(session, "two", False, reason="caption_says_nothing")
    assert training.learnable(session) == training.Learnable(1, 1, 2)
    session.execute(update(Post).values(author_id=None))
    assert training.learnable(session).authors == 2, "posts stand in for authors that are not known"


def test_a_picture_that_got_both_answers_is_left_out(session: Session) -> None:
    first, second = judged(session, "one", True), judged(session, "two", False)
    session.execute(update(Candidate).where(Candidate.id == second.id).values(image_id=first.image_id))
    assert training.learnable(session) == training.Learnable(0, 0, 0)


def test_with_too_little_to_learn_from_it_says_what_is_missing(session: Session, sign_in: SignIn) -> None:
    judged(session, "one", True)
    with pytest.raises(Conflict, match="too little"):
        training.train_from_reviews(session, SYSTEM)
    page = sign_in("elm").get("/prefilter/classifiers").text
    assert "19 more accepted and 20 more rejected as “Not histopathology” and pictures of 3 more authors" in page


def test_an_author_is_on_the_same_side_of_the_split_every_time() -> None:
    sides = [Example(1, "a", True, f"author {number}").is_held_out for number in range(400)]
    assert sides == [Example(2, "b", False, f"author {number}").is_held_out for number in range(400)]
    assert 60 < sum(sides) < 140


# --- the job, on real pictures with the packaged encoder ------------------------------------------


@pytest.fixture
def reviewed(own_database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tissue-like and other pictures of eight authors, judged by people."""
    from tests.prefilter.pictures import landscape, tissue

    monkeypatch.setattr(jobs, "send", lambda job_id, queue: None)
    with transaction() as session:
        for number in range(48):
            author = f"author{number % 8}"
            good = (number // 8) % 2 == 0
            judged(session, author, good, tissue(number) if good else landscape(number))


@pytest.mark.usefixtures("reviewed")
def test_a_head_trained_from_reviews_is_measured_beside_the_one_in_use_and_used_when_told() -> None:
    made = []
    for _ in range(2):
        with transaction() as session:
            job = training.train_from_reviews(session, SYSTEM)
        worker.run_job(job.id)
        with transaction() as session:
            done = session.get_one(Job, job.id)
            assert (done.state, done.error) == (JobState.SUCCEEDED, "")
            made.append(done.cursor["classifier"])
            if len(made) == 1:
                assert queries.classifier_in_use(session) is None, "nobody took it into use"
                worker_actions_use(session, made[0])
    with transaction() as session:
        first, second = (session.get_one(Classifier, one) for one in made)
        held_out = second.metrics["held_out"]
        assert first.metrics["beside"] is None
        assert second.metrics["beside"]["classifier"] == first.id
        assert second.metrics["beside"]["roc_auc"] == pytest.approx(held_out["roc_auc"])
        assert held_out["roc_auc"] > 0.9, "the two kinds of picture are easy to tell apart"
        assert held_out["n"] + first.metrics["n"] == session.scalar(
            select(func.count()).where(Label.label_set_id == first.label_set_id)
        )
        assert second.metrics["proposal"]["threshold"] is None
        assert second.metrics["proposal"]["missing"] > 100


def worker_actions_use(session: Session, classifier_id: int) -> None:
    from app.prefilter import actions

    actions.use_classifier(session, None, classifier_id)


def test_the_page_compares_and_takes_into_use(session: Session, sign_in: SignIn, made: Callable[[], int]) -> None:
    elm = sign_in("elm")
    one, two = made(), made()
    page = elm.get(f"/prefilter/classifiers/{two}").text
    assert "ROC AUC" in page
    assert "polyline" in page
    assert elm.post(f"/prefilter/classifiers/{two}/use").status_code in (200, 303)
    assert queries.classifier_in_use(session).id == two  # type: ignore[union-attr]
    assert elm.post(f"/prefilter/classifiers/{one}/use").status_code in (200, 303)
    assert queries.classifier_in_use(session).id == one  # type: ignore[union-attr]
    assert elm.get("/prefilter/classifiers").status_code == 200
    assert elm.post("/prefilter/classifiers/none").status_code in (200, 303)
    assert queries.classifier_in_use(session) is None


@pytest.fixture
def made(session: Session) -> Callable[[], int]:
    """A stored classifier with every figure that the page shows."""
    return lambda: make_classifier(session).id


@pytest.mark.parametrize(
    ("licence", "reaches", "warns"),
    [
        ("CC BY-NC-ND 4.0", True, True),
        ("", True, True),
        ("University of Illinois/NCSA", False, False),
        ("MIT", False, False),
    ],
)
def test_a_classifiers_page_warns_where_its_encoders_licence_reaches_the_data(
    session: Session, sign_in: SignIn, licence: str, reaches: bool, warns: bool
) -> None:
    made = make_classifier(session)
    encoder = queries.encoder(session, made.encoder_id)
    encoder.licence, encoder.reaches_data = licence, reaches
    session.flush()
    page = sign_in("elm").get(f"/prefilter/classifiers/{made.id}").text
    assert ("reaches the data that it selects" in page) == warns
