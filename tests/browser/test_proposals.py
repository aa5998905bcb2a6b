"""What machines propose, in a browser: private details come back with one key, fields lose their mark when touched."""

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy.orm import Session

from app.accounts import queries as people
from app.tables import Candidate, Draft, ReviewKind, Stage
from tests.browser.conftest import Open, Site
from tests.browser.test_accessibility import problems
from tests.candidates.deciding import decide
from tests.curation.proposing import find, propose, shown_candidate, words

pytestmark = pytest.mark.process

RAW = "Follow me! Patient of Jane Doe, seen on 3 May 2021, basal cell carcinoma HE 10x. Call 555 0101"
CLEANED = RAW.removeprefix("Follow me! ")
WITHOUT = "Patient of, seen on, basal cell carcinoma HE 10x."
PROPOSED = "Patient of, seen on, basal cell carcinoma, H&E, 10×. No mitoses are seen."


def made(session: Session) -> Candidate:
    candidate = shown_candidate(session, RAW, with_blob=True)
    propose(session, candidate, rules_1=CLEANED)
    base = candidate.caption_id
    propose(session, candidate, private_1=WITHOUT, llm_3=PROPOSED)
    spans = [{"start": 11, "end": 19, "kind": "name"}, {"start": 29, "end": 39, "kind": "date"}]
    spans.append({"start": CLEANED.index("Call"), "end": len(CLEANED), "kind": "phone"})
    find(session, candidate, "private", caption=base, spans=spans, kinds={"name": 1, "date": 1, "phone": 1})
    number = {"kind": "record_number", "x": 0.1, "y": 0.1, "width": 0.4, "height": 0.1}
    find(session, candidate, "writing", boxes=[number], kinds={"record_number": 1})
    guessed = {"organ": "skin", "stain": "ihc", "species": "human"}
    find(session, candidate, "caption", fields={"stain": "he"})
    find(session, candidate, "llm", prompt=3, fields=guessed, diagnosis=words(session, candidate, "Basalioma"))
    return candidate


@pytest.fixture(scope="module")
def proposed(site: Site) -> list[int]:
    """Two candidates that machines made proposals for, and a third that was published in other words."""
    with site.session() as session:
        session.get_one(Stage, "writing").setting = {"actions": {"record_number": "redact"}}
        reviewer = people.actor_of(people.user_named(session, "birch"))
        published = made(session)
        decide(session, reviewer, published, ReviewKind.ACCEPT, "Basal cell carcinoma.", fields={"organ": "skin"})
        return [made(session).id, made(session).id]


def caption(page: Page) -> str:
    return page.input_value("#caption")


def test_private_details_come_back_with_one_key_and_touched_fields_lose_their_mark(
    site: Site, proposed: list[int], sign_in: Open
) -> None:
    page = sign_in("alder")
    page.goto(f"{site.url}/review")
    assert page.get_attribute("#review", "data-candidate") == str(proposed[0])
    expect(page.locator("#caption-shown mark.doubt").first).to_contain_text("No mitoses are seen")
    page.keyboard.press("p")
    with_all = PROPOSED.replace("of,", "of Jane Doe,").replace("on,", "on 3 May 2021,")
    assert caption(page) == with_all.replace("10×.", "10×. Call 555 0101")
    page.keyboard.press("p")
    assert caption(page) == PROPOSED
    expect(page.locator("[data-accept]")).to_have_text("Accept")
    assert page.evaluate("sessionStorage.length") == 0
    page.locator("[data-detail='3 May 2021']").click()
    assert caption(page) == PROPOSED.replace("on,", "on 3 May 2021,")
    expect(page.locator("[data-detail='3 May 2021']")).to_have_text("Leave out")
    page.fill("#caption", "Jane was seen on Monday.")
    page.locator("[data-details]").click()  # what stood before is known in part; what is not goes to the end
    assert caption(page) == "Jane was seen on 3 May 2021 Monday. Call 555 0101 Jane Doe"

    expect(page.locator(".unchecked")).to_have_count(3)
    page.select_option("#field-organ", "breast")
    page.click("[data-checked=diagnosis]")
    expect(page.locator(".viewer")).to_be_focused()  # so that the next key is no letter in a field
    expect(page.locator(".unchecked")).to_have_count(1)
    expect(page.locator("#draft-state")).to_contain_text("Draft saved")
    page.reload()
    expect(page.locator(".unchecked")).to_have_text("LLM, unchecked")
    assert page.input_value("#field-diagnosis") == "Basalioma"

    mask = page.locator(".viewer .mask")
    expect(mask).to_have_css("fill-opacity", "1")
    page.keyboard.press("m")
    expect(mask).to_have_css("fill-opacity", "0")
    page.keyboard.press("m")
    page.keyboard.press("a")
    expect(page.locator("#review")).to_have_attribute("data-candidate", str(proposed[1]))
    with site.session() as session:
        assert session.query(Draft).count() == 0
        assert len((session.get_one(Candidate, proposed[0]).crop or {})["masks"]) == 1
    note = page.locator("#doubt-note")
    expect(note).to_be_hidden()
    page.keyboard.press("a")  # points at what the original lacks; again would accept it
    expect(note).to_contain_text("One passage is not in the original")
    expect(page.locator("#review")).to_have_attribute("data-candidate", str(proposed[1]))


def test_the_pages_are_accessible_and_fit(site: Site, proposed: list[int], sign_in: Open) -> None:
    admin, reviewer = sign_in("elm"), sign_in("alder")
    pages = [(reviewer, "/review"), (admin, f"/candidates/{proposed[1]}"), (admin, "/prefilter/corrections")]
    for page, path in [*pages, (admin, "/prefilter/corrections/list?maker=llm+3")]:
        answer = page.goto(f"{site.url}{path}")
        assert answer
        assert (path, answer.status, problems(page)) == (path, 200, [])
