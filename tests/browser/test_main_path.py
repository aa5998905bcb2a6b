"""The main path in a real browser: posts in, reviewed by keyboard alone, out as a snapshot that verifies."""

import json
import lzma
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.tables import Snapshot
from tests.browser.conftest import Open, Site
from tests.factories import make_picture

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("worker")]
CASES = 8


def zip_of_posts(path: Path) -> Path:
    """An Instaloader folder with eight good posts, one broken picture and one video."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(CASES + 1):
            stem = f"path_demo_01/2024-03-0{number + 1}_10-20-30_UTC"
            node = {
                "shortcode": f"Ccase{number:06d}",
                "id": str(3_312_345_678_901_234_000 + number),
                "taken_at_timestamp": 1709288430 + number,
                "owner": {"id": str(70 + number), "username": "path_demo_01"},
                "edge_media_to_caption": {
                    "edges": [{"node": {"text": f"Case {number}: nodular basal cell carcinoma, H&E, 10x. #dermpath"}}]
                },
            }
            whole = {"node": node, "instaloader": {"version": "4.16", "node_type": "Post"}}
            archive.writestr(f"{stem}.json.xz", lzma.compress(json.dumps(whole).encode()))
            picture = make_picture(number + 500)
            archive.writestr(f"{stem}.jpg", picture if number < CASES else picture[:900])
        archive.writestr("path_demo_01/2024-04-01_10-20-30_UTC.mp4", b"a video")
    return path


def current(page: Page) -> str:
    return page.get_attribute("#review", "data-candidate") or ""


def press(page: Page, key: str) -> str:
    """Presses a key that decides; returns the next candidate, which came without a page being loaded."""
    before = current(page)
    page.evaluate("window.stillHere = true")
    page.keyboard.press(key)
    page.wait_for_function("before => document.getElementById('review').dataset.candidate !== before", arg=before)
    assert page.evaluate("window.stillHere"), "a page was loaded"
    return current(page)


def test_posts_in_reviewed_by_keyboard_out_as_a_snapshot(sign_in: Open, site: Site, tmp_path: Path) -> None:
    admin = sign_in("elm")
    import_posts(admin, zip_of_posts(tmp_path / "posts.zip"))
    admin.goto(f"{site.url}/prefilter")
    expect(admin.locator("text=Running now")).to_have_count(0, timeout=60_000)

    review_by_keyboard(sign_in("alder"), site)

    resolve_flagged(admin, site)
    move_a_threshold(admin, site)
    archive = make_and_download_snapshot(admin, site, tmp_path)
    a_page_opened_early_follows_the_writing(admin, site)
    researcher = sign_in("fir")
    researcher.goto(f"{site.url}/snapshots/1")
    with researcher.expect_download() as download:
        researcher.click("text=Download, ")
    assert Path(download.value.path()).read_bytes() == archive.read_bytes()
    verify_it(archive, tmp_path, site)


def import_posts(page: Page, archive: Path) -> None:
    page.click("nav >> text=Imports")
    page.click("text=Import posts >> nth=0")
    page.set_input_files("input[type=file]", str(archive))
    page.fill("[name=name]", "path_demo_01")
    page.select_option("[name=consent]", "agreed")
    page.click("main button.btn-primary")
    expect(page.locator("h1")).to_contain_text("posts.zip")
    expect(page.locator(".page-head .badge")).to_contain_text("Done", timeout=30_000)
    body = page.inner_text("main")
    assert "10 entries in 19 files" in body
    assert "The picture is cut short or broken" in body
    assert "Video, not an image" in body


def review_by_keyboard(page: Page, site: Site) -> None:
    expect(page.locator("h1")).to_contain_text("8 candidates wait")
    tab_to(page, "main a:has-text('Review')")
    page.keyboard.press("Enter")
    expect(page.locator(".viewer")).to_be_focused()  # keys work from here on
    first = current(page)
    second = press(page, "a")
    page.keyboard.press("r")
    expect(page.locator("#why-menu")).to_be_visible()
    third = press(page, "3")
    page.keyboard.press("e")
    page.keyboard.type("Edited. ")
    expect(page.locator("#draft-state")).to_contain_text("Draft saved")
    fourth = press(page, "Control+Enter")
    fifth = press(page, "f")
    press(page, "s")
    assert press(page, "u") == fourth
    expect(page.locator("#said")).to_contain_text("Took back")
    press(page, "f")
    assert len({first, second, third, fourth, fifth}) == 5

    page.keyboard.press("+")
    expect(page.locator("[data-zoom=fit]")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("0")
    expect(page.locator("[data-zoom=fit]")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()

    tab_to(page, "[popovertarget=history]")
    page.keyboard.press("Enter")
    undo = f"#history li:has-text('C-{first}') button"
    expect(page.locator(undo)).to_be_visible()
    tab_to(page, undo)
    page.keyboard.press("Enter")
    page.wait_for_function("first => document.getElementById('review')?.dataset.candidate === first", arg=first)
    for _ in range(4):
        press(page, "a")
    expect(page.locator("main")).to_contain_text("You skipped 1")
    tab_to(page, "text=Review the 1 you skipped")
    page.keyboard.press("Enter")
    expect(page.locator(".viewer")).to_be_focused()
    page.keyboard.press("a")
    expect(page.locator("main")).to_contain_text("Nothing waits for you")


def tab_to(page: Page, selector: str) -> None:
    """Presses Tab until the element has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.locator(selector).first.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"Tab does not reach {selector}.")


def resolve_flagged(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/candidates?state=flagged")
    page.click("tbody a >> nth=0")
    page.click("text=Accept >> nth=0")
    expect(page.locator(".page-head .badge")).to_contain_text("Accepted")


def move_a_threshold(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/prefilter/caption")
    page.fill("#cutn", "0.95")
    page.keyboard.press("Enter")
    page.click("text=/^Apply 0.95/")
    expect(page.locator("#toasts")).to_contain_text("0.95")
    expect(page.get_by_role("link", name="Threshold of Caption: at least 0.95")).to_be_visible()


def make_and_download_snapshot(page: Page, site: Site, folder: Path) -> Path:
    page.goto(f"{site.url}/snapshots")
    page.fill("[name=val]", "0")
    page.fill("[name=test]", "0")
    page.click("text=Make snapshot >> nth=-1")
    page.get_by_role("link", name="v0001").click(timeout=30_000)
    expect(page.get_by_role("link", name="Download, ")).to_be_visible(timeout=30_000)
    with page.expect_download() as download:
        page.click("text=Download, ")
    download.value.save_as(folder / "v0001.tar")
    return folder / "v0001.tar"


def a_page_opened_early_follows_the_writing(page: Page, site: Site) -> None:
    with site.session() as session:
        snapshot = session.get_one(Snapshot, 1)
        built_at, snapshot.built_at = snapshot.built_at, None
    page.goto(f"{site.url}/snapshots/1")
    expect(page.locator(".page-head")).to_contain_text("Being written")
    with site.session() as session:
        session.get_one(Snapshot, 1).built_at = built_at
    expect(page.get_by_role("link", name="Download, ")).to_be_visible()


def verify_it(archive: Path, folder: Path, site: Site) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    verify = [sys.executable, "-m", "app.cli", "snapshot", "verify", str(folder / "v0001"), "--json"]
    told = subprocess.run(verify, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout)["problems"] == []
    captions = (folder / "v0001" / "captions.csv").read_text("utf-8-sig")
    assert captions.count("\n") == CASES
    assert "Edited. Case" in captions
    table = folder / "v0001" / "captions.csv"
    table.write_bytes(table.read_bytes()[:-1] + b"x")
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 1


def test_reviewing_with_a_thumb_on_a_phone(sign_in: Open, site: Site) -> None:
    site.add_candidates(5, caption="Seen on a phone, number {}.")
    page = sign_in("birch", 390, 844, has_touch=True)
    page.goto(f"{site.url}/review")
    page.wait_for_load_state()
    page.mouse.wheel(0, 400)
    shown = [current(page), tap(page, "Accept")]
    expect(page.locator(".viewer")).to_be_in_viewport()
    page.tap("#decide [value=reject]")
    shown.append(tap(page, "Image too poor"))
    page.tap("[data-edit]")
    page.fill("#caption", "Written with a thumb.")
    shown.append(tap(page, "Accept edited"))
    assert len(set(shown)) == 4
    assert tap(page, "Undo") == shown[2]
    expect(page.locator("#caption")).to_have_value("Written with a thumb.")


def tap(page: Page, button: str) -> str:
    """Taps a button of the decision; the candidate shown next."""
    before = current(page)
    page.tap(f"#decide button:visible:has-text('{button}')")
    page.wait_for_function("before => document.getElementById('review')?.dataset.candidate !== before", arg=before)
    return current(page)
