"""What the panels stage finds is drawn over the image, moves with it, and its crop is taken with one key."""

import io
import random

import pytest
from PIL import Image as Picture
from playwright.sync_api import Page, expect
from skimage import data as samples
from sqlalchemy import select, update

from app.curation import moves
from app.following import wait_for
from app.prefilter import due
from app.prefilter.stages import BY_NAME
from app.storage import blobs
from app.tables import Candidate, CandidateState, FindingNow, Image, Stage
from bench import drawn
from tests.browser.conftest import Open, Site
from tests.browser.test_accessibility import problems
from tests.factories import make_candidate

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("worker")]


@pytest.fixture(scope="module")
def screenshots(site: Site) -> list[int]:
    """Screenshots of a micrograph in the queue, looked at by the worker's own panels stage."""
    with site.session() as session:
        session.get_one(Stage, "faces").paused = True  # it and those behind it say nothing of boxes and crops here
    tissue = Picture.fromarray(samples.immunohistochemistry())
    ids = []
    for number in range(6):
        picture, _ = drawn.screenshot(tissue, random.Random(number))
        sha256 = blobs().put(drawn.jpeg(picture))
        with site.session() as session:
            caption = f"Glands of the colon, brown chromogen, number {number}."
            candidate = make_candidate(session, CandidateState.FILTERING, caption)
            values = {"sha256": sha256, "source_sha256": sha256, "width": picture.width, "height": picture.height}
            session.execute(update(Image).where(Image.id == candidate.image_id).values(**values))
            due.due(session, BY_NAME["panels"], [candidate.id])
            ids.append(candidate.id)
    with site.session() as session:
        job = due.submit_stage(session, BY_NAME["panels"]).id
    wait_for(job)
    with site.session() as session:
        due.forget(session, ids)
        moves.enqueue(session, ids)
        found = session.scalars(select(FindingNow.label).where(FindingNow.stage == "panels")).all()
        assert set(found) == {"screenshot"}
        assert {c.state for c in session.scalars(select(Candidate))} == {CandidateState.QUEUED}
    return ids


def open_with_crop(page: Page, site: Site) -> int:
    """The review page of a candidate that is shown with its findings (a spot check is not)."""
    page.goto(f"{site.url}/review")
    while not page.locator("[name=crop]").count():
        page.keyboard.press("s")
        page.wait_for_load_state("networkidle")
    return int(page.get_attribute("#review", "data-candidate") or 0)


def test_boxes_lie_on_the_image_move_with_it_and_come_and_go_by_a_key(
    site: Site, screenshots: list[int], sign_in: Open
) -> None:
    page = sign_in("alder")
    open_with_crop(page, site)
    image, overlay, box = (page.locator(f".viewer {part}") for part in ("img", ".boxes", ".box >> nth=0"))
    expect(box).to_be_visible()
    assert overlay.bounding_box() == image.bounding_box()
    page.keyboard.press("2")
    page.keyboard.press("ArrowDown")
    expect(page.locator("[data-zoom-percent]")).to_have_text("200\u00a0%")
    expect(image).not_to_have_css("transform", "matrix(1, 0, 0, 1, 0, 0)")
    page.wait_for_timeout(200)
    assert overlay.bounding_box() == pytest.approx(image.bounding_box(), abs=0.1)
    page.keyboard.press("b")
    expect(box).to_be_hidden()
    expect(page.locator("[data-zoom=boxes]")).to_have_attribute("aria-pressed", "false")
    page.reload()
    expect(page.locator(".viewer .box >> nth=0")).to_be_hidden()
    page.locator("[data-zoom=boxes]").click()
    expect(page.locator(".viewer .box >> nth=0")).to_be_visible()


def test_one_key_takes_the_crop_and_undo_gives_it_back(site: Site, screenshots: list[int], sign_in: Open) -> None:
    page = sign_in("alder")
    candidate = open_with_crop(page, site)
    page.keyboard.press("c")
    expect(page.locator("[name=crop]")).to_be_checked()
    assert float(page.locator(".outside").evaluate("el => getComputedStyle(el).fillOpacity")) > 0.5
    page.keyboard.press("c")
    expect(page.locator("[name=crop]")).not_to_be_checked()
    page.keyboard.press("c")
    page.keyboard.press("a")
    expect(page.locator("#review")).not_to_have_attribute("data-candidate", str(candidate))
    with site.session() as session:
        crop = session.get_one(Candidate, candidate).crop or {}
    with Picture.open(io.BytesIO(blobs().get(crop["sha256"]))) as made:
        assert made.size == (crop["width"], crop["height"])
        assert made.width == 1080
    page.keyboard.press("u")
    expect(page.locator("#review")).to_have_attribute("data-candidate", str(candidate))
    with site.session() as session:
        assert session.get_one(Candidate, candidate).crop is None
    expect(page.locator("[name=crop]")).to_be_visible()


def test_without_script_the_crop_is_a_box_to_tick(site: Site, screenshots: list[int], sign_in: Open) -> None:
    page = sign_in("birch", java_script_enabled=False)
    page.goto(f"{site.url}/review")
    while not page.locator("[name=crop]").count():
        page.click("text=Skip >> nth=-1")
    candidate = int(page.get_attribute("#review", "data-candidate") or 0)
    page.check("[name=crop]")
    page.click("#decide >> text=Accept")
    with site.session() as session:
        assert session.get_one(Candidate, candidate).crop


def test_the_pages_are_accessible_and_fit(site: Site, screenshots: list[int], sign_in: Open) -> None:
    admin, reviewer = sign_in("elm"), sign_in("alder")
    open_with_crop(reviewer, site)
    reviewer.locator("[name=crop]").check()
    assert problems(reviewer) == []
    for path in (f"/candidates/{screenshots[0]}", "/prefilter/language", "/prefilter/alignment", "/prefilter/domain"):
        admin.goto(f"{site.url}{path}")
        assert problems(admin) == [], path
