"""The bytes of images and thumbnails: who gets them, and how long a browser keeps them."""

import io

import pytest
from PIL import Image as Picture
from sqlalchemy.orm import Session

from app.storage import blobs
from app.tables import Candidate, CandidateState, Image, ReviewKind
from tests.candidates.deciding import decide
from tests.candidates.test_candidate_page import freeze
from tests.factories import make_candidate, make_person
from tests.prompts.models import screen
from tests.web_client import SignIn


def sha256_of(session: Session, candidate: Candidate) -> str:
    return session.get_one(Image, candidate.image_id).sha256


@pytest.fixture
def sha256(session: Session) -> str:
    return sha256_of(session, make_candidate(session, with_blob=True))


def test_an_image_is_the_stored_bytes_for_a_year(sign_in: SignIn, sha256: str) -> None:
    answer = sign_in("alder").get(f"/images/{sha256}.jpg")
    assert answer.content == blobs().get(sha256)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert answer.headers["etag"] == f'"{sha256}"'


def test_a_browser_that_has_it_gets_no_bytes(sign_in: SignIn, sha256: str) -> None:
    answer = sign_in("alder").get(f"/images/{sha256}.jpg", headers={"if-none-match": f'"{sha256}"'})
    assert (answer.status_code, answer.content) == (304, b"")


def test_a_thumbnail_is_a_small_jpeg(sign_in: SignIn, sha256: str) -> None:
    answer = sign_in("alder").get(f"/thumbs/{sha256}.jpg")
    assert Picture.open(io.BytesIO(answer.content)).size == (176, 176)
    assert answer.headers["cache-control"].startswith("private")


@pytest.mark.parametrize("kind", ["images", "thumbs"])
@pytest.mark.parametrize("name", ["0" * 64, "0" * 63, "..%2f..%2fsecret_key", "A" * 64])
def test_what_is_no_image_of_a_candidate_is_not_there(sign_in: SignIn, kind: str, name: str) -> None:
    assert sign_in("elm").get(f"/{kind}/{name}.jpg").status_code == 404


def test_a_stored_file_that_is_no_image_is_not_served(sign_in: SignIn) -> None:
    sha256 = blobs().put(b"something else")
    assert sign_in("elm").get(f"/images/{sha256}.jpg").status_code == 404


@pytest.mark.parametrize(("persona", "status"), [("alder", 404), ("elm", 200)])
def test_a_withdrawn_picture_is_for_admins(session: Session, sign_in: SignIn, persona: str, status: int) -> None:
    gone = make_candidate(session, CandidateState.WITHDRAWN, with_blob=True)
    assert sign_in(persona).get(f"/images/{sha256_of(session, gone)}.jpg").status_code == status


@pytest.mark.parametrize("state", [CandidateState.INCOMING, CandidateState.FILTERING, CandidateState.FILTERED_OUT])
def test_a_picture_that_no_stage_has_screened_is_for_admins(
    session: Session, sign_in: SignIn, state: CandidateState
) -> None:
    unseen = make_candidate(session, state, with_blob=True)
    sha256 = sha256_of(session, unseen)
    paths = [f"/images/{sha256}.jpg", f"/thumbs/{sha256}.jpg", f"/candidates/{unseen.id}"]
    alder, elm = sign_in("alder"), sign_in("elm")
    assert [alder.get(path).status_code for path in paths] == [404] * 3
    assert [elm.get(path).status_code for path in paths] == [200] * 3
    if state is CandidateState.FILTERED_OUT:
        screen(session, unseen)
        assert [alder.get(path).status_code for path in paths] == [200] * 3


def test_a_researcher_sees_what_a_snapshot_holds(session: Session, sign_in: SignIn) -> None:
    candidate = make_candidate(session, with_blob=True)
    url = f"/images/{sha256_of(session, candidate)}.jpg"
    fir = sign_in("fir")
    assert fir.get(url).status_code == 404
    decide(session, make_person(session, "alder"), candidate, ReviewKind.ACCEPT)
    freeze(session, candidate)
    assert fir.get(url).status_code == 200


def test_strangers_get_nothing(sign_in: SignIn, sha256: str) -> None:
    assert sign_in("").get(f"/images/{sha256}.jpg").status_code == 303


def test_a_missing_file_is_said(session: Session, sign_in: SignIn) -> None:
    lost = sha256_of(session, make_candidate(session))
    answer = sign_in("alder").get(f"/images/{lost}.jpg")
    assert answer.status_code == 404
    assert "file of this picture is missing" in answer.text
