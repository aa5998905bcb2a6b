"""Searching on the real site: a worker reads what is searched by while the page waits, with scripts and without."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select, update

from app.storage import blobs
from app.tables import Candidate, Embedding, Encoder, EncoderKind, Image, Stage, Weights
from tests.browser.conftest import Open, Site
from tests.browser.test_accessibility import problems
from tests.factories import make_picture

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("worker")]

COUNT = 3


@pytest.fixture(scope="module")
def embedded(site: Site) -> list[int]:
    """Candidates with pictures 1, 2, 3 and their vectors under the site's tiny CLIP with random weights."""
    from workers.vectors import load

    ids = site.add_candidates(COUNT, caption="Crowded glands of the colon, number {}. #gipath")
    with site.session() as session:
        kind = {"kind": EncoderKind.IMAGE_TEXT, "weights": Weights.RANDOM}
        encoder = Encoder(name="Tiny", source="open_clip", model="tests/tiny_clip.json", width=32, **kind)
        session.add(encoder)
        session.flush()
        session.execute(update(Stage).where(Stage.name == "embedding").values(setting={"encoder": encoder.id}))
        pictures = [make_picture(1000 + n) for n in range(COUNT)]
        for id_, picture, vec in zip(ids, pictures, load(encoder).embed_images(pictures), strict=True):
            image_id = session.scalars(select(Candidate.image_id).where(Candidate.id == id_)).one()
            session.execute(update(Image).where(Image.id == image_id).values(sha256=blobs().put(picture)))
            session.add(Embedding(image_id=image_id, encoder_id=encoder.id, vec=vec))
    return ids


def first_result(page: Page) -> str:
    return page.locator("#results tbody tr").first.inner_text()


def test_meaning_is_waited_for_on_the_page(sign_in: Open, site: Site, embedded: list[int]) -> None:
    page = sign_in("alder")
    page.goto(f"{site.url}/candidates")
    page.fill("#q", "glands with mucin")
    page.locator("label:has-text('Meaning')").click()
    page.click("button:has-text('Search')")
    expect(page.locator("#results tbody tr")).to_have_count(COUNT, timeout=30_000)
    expect(page.locator("#results")).to_contain_text("random weights")
    assert page.locator("#results").get_attribute("hx-get") is None


def test_a_picture_is_searched_by_without_scripts(
    sign_in: Open, site: Site, embedded: list[int], tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(make_picture(1001))
    page = sign_in("alder", java_script_enabled=False)
    page.goto(f"{site.url}/candidates")
    expect(page.locator(".by-image")).to_be_hidden()
    page.locator(".seg label:has-text('Image')").click()
    page.set_input_files("#picture-file", str(tmp_path / "a.jpg"))
    page.click("text=Search by it")
    expect(page.locator("#results tbody tr")).to_have_count(COUNT, timeout=30_000)  # the page reloads itself
    assert f"C-{embedded[1]}" in first_result(page)
    assert "1.00" in first_result(page)


def test_a_result_is_reviewed_without_scripts(sign_in: Open, site: Site, embedded: list[int]) -> None:
    page = sign_in("birch", java_script_enabled=False)
    page.goto(f"{site.url}/candidates?q=gland")
    page.click("text=Review these")
    expect(page.locator("h1").first).to_contain_text(f"C-{embedded[-1]}")
    page.click("#decide >> text=Skip")
    expect(page.locator("h1").first).to_contain_text(f"C-{embedded[-2]}")


def test_every_kind_of_search_is_accessible_and_fits(sign_in: Open, site: Site, embedded: list[int]) -> None:
    page = sign_in("elm")
    found: dict[str, list[str]] = {}
    for query in (
        "q=gland",
        "q=glnd+colon",
        "q=gipath&layout=tiles",
        "q=nothing+here",
        f"by=image&like={embedded[0]}",
        "by=image",
        "q=glands&by=both",
    ):
        page.goto(f"{site.url}/candidates?{query}")
        found[query] = problems(page)
    assert {query: said for query, said in found.items() if said} == {}
