"""Captions, file names and names of accounts come from strangers: in a browser they are only ever text."""

import csv
import io
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.tables import Candidate
from tests.browser.conftest import Open, Site
from tests.factories import make_picture

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("worker")]

CAPTIONS = (
    "<script>alert(1)</script> nodular basal cell carcinoma",
    "<img src=x onerror=alert(2)><svg onload=alert(3)> melanoma in situ",
    "{{7*7}} ${7*7} {% raw %} '\" javascript:alert(4) seborrheic keratosis",
    "\u202egnirts desrever\u202c \u2067RTL\u2069 </textarea></bdi><iframe srcdoc='<script>alert(5)</script>'>",
    '<div hx-get="/sign-out" hx-trigger="load"></div> dermatofibroma',
)
FILE_NAME = "<img src=x onerror=alert(6)>.jpg"


def write_table(path: Path) -> None:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["image", "caption", "author"])
    for number, caption in enumerate(CAPTIONS):
        rows.writerow([f"{number}.jpg", caption, "<b onclick=alert(7)>author</b>"])
    rows.writerow([FILE_NAME, "Its picture is broken.", "author"])
    path.write_text(text.getvalue(), encoding="utf-8")


def inbox_folder(site: Site) -> str:
    """A folder of the inbox with a table and its pictures, one of them broken; its name is hostile too."""
    name = "<script>alert(8)<|script>"
    folder = site.home / "inbox" / name
    folder.mkdir(parents=True)
    write_table(folder / "captions.csv")
    for number in range(len(CAPTIONS)):
        (folder / f"{number}.jpg").write_bytes(make_picture(number + 700))
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("<svg onload=alert(9)>.txt", "no picture")
    (folder / FILE_NAME).write_bytes(make_picture(799)[:300])
    return name


def assert_inert(page: Page) -> None:
    """Nothing of the page came to life: no element that a caption asked for, no script but our own files."""
    page.wait_for_load_state()
    alive = "main script, main iframe, main [onerror], main [onload], main [onclick], main [srcdoc]"
    assert page.evaluate(f"document.querySelectorAll('{alive}').length") == 0
    asks = page.evaluate("[...document.querySelectorAll('[hx-get]')].map(e => e.getAttribute('hx-get'))")
    assert not [url for url in asks if "sign-out" in url]


def test_an_import_of_hostile_names_and_captions_shows_them_as_text(sign_in: Open, site: Site) -> None:
    name = inbox_folder(site)
    dialogs: list[str] = []
    foreign: list[str] = []
    page = sign_in("elm")
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    page.on("request", lambda request: None if request.url.startswith(site.url) else foreign.append(request.url))

    page.goto(f"{site.url}/imports/new")
    page.select_option("[name=inbox]", index=1)
    expect(page.locator("#preview")).to_contain_text("<script>alert(1)</script>")
    assert_inert(page)
    page.fill("[name=name]", "<img src=x onerror=alert(10)>")
    page.select_option("[name=consent]", "agreed")
    page.click("main button.btn-primary")
    expect(page.locator("h1")).to_contain_text(name)
    expect(page.locator(".page-head .badge")).to_contain_text("Done", timeout=30_000)
    expect(page.locator("#refused")).to_contain_text(FILE_NAME)
    assert_inert(page)

    with site.session() as session:
        ids = [candidate.id for candidate in session.query(Candidate)]
    assert len(ids) == len(CAPTIONS)
    paths = [f"/candidates/{candidate_id}" for candidate_id in ids]
    for path in (*paths, "/candidates", "/candidates?layout=tiles", "/imports", "/activity", "/system", "/"):
        page.goto(site.url + path)
        assert_inert(page)
    assert dialogs == []
    assert foreign == []
