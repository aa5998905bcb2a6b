"""The duplicates' pages in a browser: by keyboard, without script, on a phone and in the dark."""

import os
import random
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy.orm import Session

from tests.browser.conftest import Open, Site
from tests.browser.test_accessibility import problems
from tests.duplicates.copying import arrive, cut_from, groups, look

pytestmark = pytest.mark.process


pictures = count(1)


def copies(session: Session, *distances: int) -> list[int]:
    """A group of copies that are so many bits from the first one, far from all other groups."""
    base = random.Random(next(pictures)).getrandbits(256)
    made = {arrive(session, side=900 - 100 * n): base ^ (2**bits - 1) for n, bits in enumerate((0, *distances))}
    look(session, made)
    return list(made)


@pytest.fixture
def made(site: Site, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """Two groups to look at, the second one newer, and a picture with one that is cut out of it."""
    monkeypatch.setattr("app.jobs.send", lambda job_id, queue: None)
    with site.session() as session:
        (whole,) = copies(session)
        cut = cut_from(session, whole, random.Random(next(pictures)).getrandbits(256))
        return {"cut": [whole, cut], "older": copies(session, 4, 28), "newer": copies(session, 26)}


def press(page: Page, key: str) -> None:
    """Once the page's script listens."""
    page.wait_for_load_state()
    page.keyboard.press(key)


def seen(page: Page, name: str) -> None:
    if folder := os.environ.get("SHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_the_pages_are_accessible_and_fit(sign_in: Open, site: Site, made: dict[str, list[int]]) -> None:
    page = sign_in("elm")
    for name, path in (
        ("list", ""),
        ("semantic", "?kind=semantic"),
        ("group", f"/of/{made['older'][0]}"),
        ("view", f"/of/{made['cut'][0]}"),
    ):
        page.goto(f"{site.url}/duplicates{path}")
        seen(page, name)
        assert problems(page) == [], path


def test_keys_split_confirm_and_compare(sign_in: Open, site: Site, made: dict[str, list[int]]) -> None:
    page = sign_in("elm")
    page.goto(f"{site.url}/duplicates")
    press(page, "n")
    one, other = made["newer"]
    expect(page.get_by_text(f"C-{other} is no copy of the rest.")).to_be_visible()
    with site.session() as session:
        assert not any({one, other} & group for group in groups(session))
    page.get_by_role("button", name="Take back the split").click()
    expect(page.get_by_text("Your last edit is taken back.")).to_be_visible()
    press(page, "c")
    expect(page.get_by_role("heading", name="Side by side")).to_be_visible()
    press(page, "y")
    expect(page.get_by_text("is right: its copies are one picture.")).to_be_visible()
    field = page.get_by_label("A candidate or a group that shows this picture")
    field.press_sequentially("ny C-0")
    expect(field).to_have_value("ny C-0")
    field.press("Enter")
    expect(page.get_by_text("Type a candidate's number")).to_be_visible()


def test_every_act_works_without_script(sign_in: Open, site: Site, made: dict[str, list[int]]) -> None:
    page = sign_in("elm", 390, java_script_enabled=False)
    large, near, far = made["older"]
    page.goto(f"{site.url}/duplicates/of/{large}")
    page.get_by_role("button", name=f"Keep this: C-{near}").click()
    expect(page.get_by_text(f"C-{near} is the copy that is kept now.")).to_be_visible()
    page.get_by_label(f"C-{near} is another picture").check()
    page.get_by_role("button", name="Not the same: split up").click()
    with site.session() as session:
        assert frozenset({near, far}) in groups(session)
