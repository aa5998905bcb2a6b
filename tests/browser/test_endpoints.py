"""A language model is entered and tested on the real site, against a real llama.cpp server; its key is seen nowhere."""

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from app.db import Base
from app.tables import Endpoint
from tests.browser.conftest import Open, Site
from tests.browser.test_accessibility import violations
from tests.endpoints import llama
from tests.endpoints.server import ModelServer, fails

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("worker")]

KEY = "sk-sentinel-4c1e"


def fill_in(page: Page, url: str) -> None:
    values = {"name": "Our llama", "base_url": url, "model": "smollm2", "key": "LOCAL", "max_tokens": "24"}
    for name, value in values.items():
        page.fill(f"[name={name}]", value)
    page.check("[name=may_be_private]")


def press_test(page: Page) -> None:
    """And wait until the page has stopped following the job."""
    page.click("button:has-text('Test')")
    page.wait_for_load_state()
    expect(page.locator("#live[hx-trigger]")).to_have_count(0, timeout=120_000)


def test_the_test_button_tells_what_a_real_server_does(sign_in: Open, site: Site) -> None:
    key = site.home / "keys" / "LOCAL"
    key.parent.mkdir()
    key.write_text(KEY)
    key.chmod(0o600)
    page = sign_in("elm", 390, 844)
    shown: list[str] = []
    with llama.running() as url:
        page.goto(f"{site.url}/prefilter/endpoints/new")
        found = violations(page)
        fill_in(page, url)
        page.click("text=Add the endpoint")
        press_test(page)
        expect(page.locator("#live")).to_contain_text("The server holds answers to the schema")
        expect(page.locator("#live")).to_contain_text("Yes: it gave the one word that the schema allows")
        found += violations(page)
        shown.append(page.content())
    quoted = f'{{"error": {{"message": "Incorrect API key provided: {KEY}"}}}}'.encode()
    with ModelServer(fails(401, quoted)) as server:
        page.click("text=Change")
        fill_in(page, server.url)
        page.click("button:has-text('Save')")
        press_test(page)
        expect(page.locator("#live")).to_contain_text("It does not accept the key (401).")
        shown.append(page.content())
        assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    for path in ("/activity", "/system", "/jobs/1", "/jobs/2"):
        page.goto(f"{site.url}{path}")
        shown.append(page.content())
    assert found == []
    with site.session() as session:
        row = session.scalars(select(Endpoint)).one()
        assert (row.test["answers"], row.rung) == (False, None)
        stored = [str(session.execute(select(table)).all()) for table in Base.metadata.sorted_tables]
    logs = [file.read_text() for file in (site.home / "logs").iterdir()]
    assert "endpoint_gave_no_answer" in "".join(logs)
    assert KEY not in "".join(shown + stored + logs)
