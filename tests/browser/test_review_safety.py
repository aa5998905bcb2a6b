"""What a reviewer wrote survives a double click, a reload, a lost session, a second tab and hostile captions."""

import re

import pytest
from playwright.sync_api import Dialog, Page, expect
from sqlalchemy import delete, func, select, update

from app.accounts.queries import user_named
from app.tables import Assignment, Caption, Post, Review, UserSession
from tests.browser.conftest import Open, Site
from tests.browser.test_accessibility import violations
from tests.browser.test_main_path import current, press
from tests.factories import FAR, PASSWORD, make_candidate

pytestmark = pytest.mark.process


def reviews(site: Site, candidate: str) -> int:
    with site.session() as session:
        return session.scalar(select(func.count()).where(Review.candidate_id == int(candidate))) or 0


def published(site: Site, text: str) -> bool:
    with site.session() as session:
        return bool(session.scalar(select(func.count()).where(Caption.text == text, Caption.kind == "edited")))


def nothing_waits(site: Site) -> None:
    """Leaves no slot open that would come before those of the next test."""
    with site.session() as session:
        session.execute(delete(Assignment).where(Assignment.review_id.is_(None)))


def review_page(page: Page, site: Site) -> str:
    page.goto(f"{site.url}/review")
    page.wait_for_load_state()
    return current(page)


def test_a_double_click_gives_one_review(sign_in: Open, site: Site) -> None:
    site.add_candidates(3)
    page = sign_in("alder")
    shown = review_page(page, site)
    page.dblclick("#decide >> text=Accept")
    page.wait_for_function("shown => document.getElementById('review')?.dataset.candidate !== shown", arg=shown)
    page.wait_for_timeout(500)
    assert reviews(site, shown) == 1


def test_a_draft_survives_a_reload_and_single_keys_do_nothing_while_typing(sign_in: Open, site: Site) -> None:
    site.add_candidates(2)
    page = sign_in("alder")
    shown = review_page(page, site)
    page.keyboard.press("e")
    page.keyboard.type("arfsu aaa ")
    expect(page.locator("#draft-state")).to_contain_text("Draft saved")
    assert current(page) == shown
    assert reviews(site, shown) == 0
    page.reload()
    page.wait_for_load_state()
    assert current(page) == shown
    expect(page.locator("#caption")).to_have_value(re.compile("^arfsu aaa"))
    page.evaluate("sessionStorage.clear()")
    page.keyboard.press("Escape")
    press(page, "a")


def test_enter_in_a_field_decides_nothing(sign_in: Open, site: Site) -> None:
    site.add_candidates(2)
    for scripts in (True, False):
        page = sign_in("birch", java_script_enabled=scripts)
        page.goto(f"{site.url}/review")
        shown = current(page)
        for field in ("#field-diagnosis", "#note"):
            page.fill(field, "x")
            page.press(field, "Enter")
        page.wait_for_timeout(300)
        assert (current(page), reviews(site, shown)) == (shown, 0)
    nothing_waits(site)


def test_why_it_is_flagged_can_be_written_by_keys_alone(sign_in: Open, site: Site) -> None:
    site.add_candidates(2)
    page = sign_in("birch")
    shown = review_page(page, site)
    page.keyboard.press("n")
    page.keyboard.type("A face is seen.")
    page.keyboard.press("Escape")
    press(page, "f")
    admin = sign_in("elm")
    admin.goto(f"{site.url}/candidates/{shown}")
    expect(admin.locator("#resolve")).to_contain_text("A face is seen.")
    nothing_waits(site)


def test_a_session_that_ends_while_writing_is_signed_into_over_the_page_and_the_text_is_sent(
    sign_in: Open, site: Site
) -> None:
    site.add_candidates(2)
    page = sign_in("alder")
    shown = review_page(page, site)
    page.keyboard.press("e")
    page.fill("#caption", "Written before the session ended.")
    with site.session() as session:
        session.execute(delete(UserSession))
    page.keyboard.press("Control+Enter")
    expect(page.locator("#sign-in-again")).to_be_visible()
    assert violations(page) == []
    page.fill("#again-password", PASSWORD)
    page.click("text=Sign in and go on")
    page.wait_for_function("shown => document.getElementById('review')?.dataset.candidate !== shown", arg=shown)
    assert published(site, "Written before the session ended.")


def test_the_second_of_two_tabs_is_told_and_keeps_its_text(sign_in: Open, site: Site) -> None:
    site.add_candidates(3)
    first = sign_in("alder")
    shown = review_page(first, site)
    second = first.context.new_page()
    assert review_page(second, site) == shown
    press(first, "a")
    second.keyboard.press("e")
    second.fill("#caption", "Written in the second tab.")
    second.keyboard.press("Control+Enter")
    expect(second.locator("h1")).to_contain_text(f"C-{shown} changed while you wrote")
    expect(second.locator("main")).to_contain_text("Written in the second tab.")
    assert violations(second) == []
    assert reviews(site, shown) == 1


def test_a_draft_survives_a_closed_tab_and_another_machine(sign_in: Open, site: Site) -> None:
    site.add_candidates(2)
    page = sign_in("alder")
    shown = review_page(page, site)
    page.keyboard.press("e")
    page.fill("#caption", "Written in a tab that closes.")
    expect(page.locator("#draft-state")).to_contain_text("Draft saved")
    page.close()
    elsewhere = sign_in("alder")
    elsewhere.goto(f"{site.url}/review?candidate={shown}")
    elsewhere.wait_for_load_state()
    assert current(elsewhere) == shown
    expect(elsewhere.locator("#caption")).to_have_value("Written in a tab that closes.")
    press(elsewhere, "a")
    assert published(site, "Written in a tab that closes.")


def test_what_was_written_stays_when_the_lease_ran_out_and_another_decided(sign_in: Open, site: Site) -> None:
    site.add_candidates(3)
    page = sign_in("alder")
    shown = review_page(page, site)
    page.keyboard.press("e")
    page.fill("#caption", "Written while the time ran out.")
    expect(page.locator("#draft-state")).to_contain_text("Draft saved")
    with site.session() as session:
        session.execute(update(Assignment).values(lease_until=func.clock_timestamp()))
    other = sign_in("birch")
    other.goto(f"{site.url}/review?candidate={shown}")
    other.wait_for_load_state()
    assert current(other) == shown
    press(other, "a")
    page.keyboard.press("Control+Enter")
    expect(page.locator("h1")).to_contain_text(f"C-{shown} changed while you wrote")
    expect(page.locator("section", has_text="Yours, kept as a draft")).to_contain_text(
        "Written while the time ran out."
    )
    expect(page.locator("section", has_text="Saved by Birch")).to_contain_text("Basal cell carcinoma")
    assert reviews(site, shown) == 1


def test_the_next_person_in_a_tab_does_not_see_the_draft_of_the_one_before(sign_in: Open, site: Site) -> None:
    (candidate,) = site.add_candidates(1)
    page = sign_in("alder")
    page.goto(f"{site.url}/review?candidate={candidate}")
    page.wait_for_load_state()
    shown = current(page)
    page.keyboard.press("e")
    page.fill("#caption", "Alder's private thought.")
    expect(page.locator("#draft-state")).to_contain_text("Draft saved")
    with site.session() as session:
        now_birchs = {"user_id": user_named(session, "birch").id, "lease_until": FAR}
        session.execute(update(Assignment).where(Assignment.candidate_id == int(shown)).values(now_birchs))
        session.execute(delete(UserSession))
    page.goto(f"{site.url}/sign-in")
    page.fill("[name=name]", "birch")
    page.fill("[name=password]", PASSWORD)
    page.click("text=Sign in >> nth=-1")
    page.wait_for_url(lambda url: "/sign-in" not in url)
    page.goto(f"{site.url}/review?candidate={shown}")
    page.wait_for_load_state()
    assert current(page) == shown
    expect(page.locator("#caption")).to_be_hidden()
    assert "private" not in page.input_value("#caption")


def test_a_decision_while_another_image_is_shown_brings_the_own_image_back_first(sign_in: Open, site: Site) -> None:
    with site.session() as session:
        first = make_candidate(session, with_blob=True)
        make_candidate(session, post=session.get_one(Post, first.post_id), position=2, with_blob=True)
    page = sign_in("alder")
    shown = review_page(page, site)
    while page.locator("[data-sibling]").count() == 1:
        press(page, "a")
        shown = current(page)
    own = page.get_attribute(".viewer img", "src")
    page.keyboard.press("]")
    expect(page.locator("#other-image")).to_have_text("Another image of this post, not the one under review")
    page.keyboard.press("a")
    expect(page.locator("#other-image")).to_have_text("This is the image under review. Decide again.")
    assert (current(page), page.get_attribute(".viewer img", "src"), reviews(site, shown)) == (shown, own, 0)
    press(page, "a")
    assert reviews(site, shown) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_opens_on_the_review_page_is_accessible(sign_in: Open, site: Site, scheme: str) -> None:
    site.add_candidates(3)
    page = sign_in("alder", color_scheme=scheme)
    review_page(page, site)
    press(page, "a")
    page.click("[popovertarget=history]")
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    page.keyboard.type("Edited. ")
    expect(page.locator("#draft-state")).to_contain_text("Draft saved")
    assert violations(page) == []


HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)> {{7*7}} ${7*7} "
    "\u202eevil\u202c javascript:alert(3) '\"><svg onload=alert(4)> nodular basal cell carcinoma"
)


def test_hostile_captions_are_only_ever_text(sign_in: Open, site: Site) -> None:
    (candidate,) = site.add_candidates(1, caption=HOSTILE.replace("{", "{{").replace("}", "}}"))
    dialogs: list[Dialog] = []
    page = sign_in("elm")
    page.on("dialog", lambda dialog: dialogs.append(dialog))
    page.goto(f"{site.url}/review?candidate={candidate}")
    for _ in range(20):
        if current(page) == str(candidate):
            break
        press(page, "s")
    expect(page.locator("#caption-shown")).to_contain_text("<script>alert(1)</script>")
    expect(page.locator("#caption-shown")).to_contain_text("{{7*7}}")
    page.keyboard.press("a")
    page.wait_for_timeout(300)
    for path in (f"/candidates/{candidate}", "/candidates?layout=tiles", "/", "/activity"):
        page.goto(site.url + path)
        page.wait_for_load_state()
    assert dialogs == []
    assert page.evaluate("document.querySelectorAll('main script, main svg[onload], main img[onerror]').length") == 0
