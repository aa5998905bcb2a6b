"""What is said of a model that never saw a post: nothing of people's posts, and whose its licence is."""

from sqlalchemy.orm import Session

from app.encoders import queries
from app.encoders.card import POSTED, card
from app.encoders.policies import OWN_LICENCE
from app.snapshots.freezing import freeze
from app.tables import Encoder
from tests.encoders.test_model_cards import made_by_run
from tests.snapshots.test_snapshot_job import accepted
from tests.web_client import SignIn


def card_of(session: Session, model: Encoder) -> str:
    return card(queries.one_shown(session, model.id), queries.line(session, model.id), "folder")


def test_the_card_of_a_model_of_drawn_pictures_claims_no_histology(session: Session) -> None:
    said = card_of(session, made_by_run(session, None, None, licence=OWN_LICENCE))
    assert 'tags: ["clip"]' in said
    assert POSTED not in said
    assert "Yours to choose: it was trained here from random weights." in said


def test_a_model_that_learned_from_a_snapshot_says_so_and_what_became_of_its_pairs(
    session: Session, sign_in: SignIn
) -> None:
    accepted(session, 2)
    snapshot = freeze(session, None, None, 0, 0, "")
    practised = made_by_run(session, None, None, licence="")
    model = made_by_run(session, snapshot, practised, licence="")
    said = card_of(session, model)
    assert "histopathology" in said
    assert POSTED in said
    elm = sign_in("elm")
    assert "None of the pairs that it learned from" in elm.get(f"/models/{model.id}").text
    assert "Withdrawn since" not in elm.get(f"/models/{practised.id}").text
