"""Pages of a set of pairs and of a search among them."""

import pytest
from sqlalchemy.orm import Session

from app.evaluation import folders
from app.evaluation.policies import Task
from app.tables import EvaluationSet
from tests.evaluation.made import make_evaluation, make_set
from tests.factories import make_encoder
from tests.web_client import SignIn

CAPTION = "<i>Naevus</i> of the books"


@pytest.fixture
def pool(session: Session) -> EvaluationSet:
    """Two pairs of ARCH, as a job leaves them."""
    made = make_set(session, "Books", "arch")
    shape = {"counts": {"": {"all": 2}}, "splits": {"all": 2}, "groups": {"all": 2}, "leaking_groups": 0}
    made.report = made.report | {"classes": [], "variants": {"as published": shape}, "samples": {"": [1]}}
    session.flush()
    columns = {
        "variant": ["as published"] * 2,
        "number": [1, 2],
        "id": ["books_set/images/a.png", "books_set/images/b.png"],
        "caption": [CAPTION, "Fat"],
    }
    folders.write_table(folders.items_file(made.id, made.items_sha256), columns)
    return made


def test_a_set_of_pairs_has_no_classes_and_no_wording_on_its_page(pool: EvaluationSet, sign_in: SignIn) -> None:
    elm = sign_in("elm")
    page = elm.get(f"/evaluation/sets/{pool.id}").text
    assert '<th scope="col">Pairs</th>' in page
    assert "How its classes are worded" not in page
    assert f"/evaluation/sets/{pool.id}/thumbs/1" in page
    assert "60 pictures, with captions." in elm.get("/evaluation/new").text
    assert "Books" in elm.get("/evaluation/sets").text


def test_a_search_shows_pictures_by_number_captions_as_text_and_its_command(
    session: Session, pool: EvaluationSet, sign_in: SignIn
) -> None:
    one, other = "books_set/images/a.png", "books_set/images/b.png"
    example = {"direction": "image_to_text", "query": other, "rank": 2.0, "results": [one, other], "right": [other]}
    figure = {"value": 0.5, "low": 0.2, "high": 0.8}
    metrics = {
        "n": 2,
        "strict_n": 2,
        "groups": 2,
        "figures": {"text_to_image.r1.strict": figure},
        "chance": {"text_to_image.r1.strict": 0.5},
        "undefined": {},
        "examples": [example],
        "skipped": [],
        "skipped_count": 0,
    }
    made = make_evaluation(session, make_encoder(session, name="tiny"), pool, Task.RETRIEVAL, metrics, splits=())
    fir = sign_in("fir")
    page = fir.get(f"/evaluation/{made.id}").text
    assert "2 pairs" in page
    assert f"/evaluation/sets/{pool.id}/thumbs/2" in page
    assert "&lt;i&gt;Naevus&lt;/i&gt; of the books" in page
    assert "--set Books --task retrieval --variant &#39;as published&#39;" in page
    assert "Books" in fir.get("/evaluation?task=retrieval").text
    pool.items_sha256 = "f" * 64
    session.flush()
    assert "&lt;i&gt;Naevus" not in fir.get(f"/evaluation/{made.id}").text, "numbers are others once it was read again"
    assert "Retrieval on the pairs of Books" in fir.get("/evaluation/report").text
