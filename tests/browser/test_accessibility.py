"""Every page, as each role, at desk and phone width, light and dark: axe-core finds nothing, nothing is cut off."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from app.accounts import queries as people
from app.accounts.policies import SYSTEM
from app.following import wait_for
from app.intake import actions as intake
from app.intake.locations import at_path
from app.snapshots import actions as snapshots
from app.tables import Candidate, Consent, JobState, ReviewKind, SourceKind, Weights
from tests.browser.conftest import Open, Site
from tests.browser.test_main_path import zip_of_posts
from tests.candidates.deciding import decide
from tests.factories import make_encoder
from tests.prefilter.holding import hold_queued

pytestmark = pytest.mark.process

AXE = Path("static/node_modules/axe-core/axe.min.js")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PAGES = {
    "elm": (
        *("/", "/candidates", "/candidates?layout=tiles", "/candidates/1", "/imports", "/imports/new", "/imports/LAST"),
        *("/people", "/people/1", "/prefilter", "/prefilter/caption", "/prefilter/sameness", "/activity", "/system"),
        *("/prefilter/endpoints", "/prefilter/endpoints/new", "/prefilter/prompts", "/prefilter/prompts/1"),
        *(
            "/prefilter/held",
            "/prefilter/privacy",
            "/prefilter/faces",
            "/prefilter/quality?shorter_side=150&aspect=2",
            "/candidates/5",
        ),
        *("/models", "/models/1"),
        *("/evaluation", "/evaluation/sets", "/evaluation/new", "/evaluation/report"),
        *("/jobs/1", "/snapshots", "/snapshots/1", "/account", "/adjudicate", "/candidates/999999"),
    ),
    "alder": (
        *("/", "/review", "/review?edit=true", "/review?reject=true", "/review?keys=true"),
        *("/candidates", "/account"),
    ),
    "fir": ("/", "/snapshots", "/snapshots/1", "/models", "/models/1", "/evaluation", "/account"),
}
LOOKS = [(1440, "light"), (390, "dark")]  # colours do not depend on the width


def violations(page: Page) -> list[str]:
    page.evaluate(AXE.read_text())
    found = page.evaluate(f"axe.run({{runOnly: {json.dumps(RULES)}}})")
    return [f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in found["violations"]]


@pytest.fixture(scope="module")
def filled(site: Site, tmp_path_factory: pytest.TempPathFactory) -> int:
    """Candidates, one accepted and frozen as the first snapshot, one held, and an import with refused entries.

    Returns the import's number.
    """
    accepted, *_ = site.add_candidates(4)
    to_hold = site.add_candidates(1)
    with site.session() as session:
        hold_queued(session, to_hold)
        make_encoder(session, weights=Weights.RANDOM, checksum="ab" * 32, parameters=151_277_313)
        reviewer = people.actor_of(people.user_named(session, "birch"))
        decide(session, reviewer, session.get_one(Candidate, accepted), ReviewKind.ACCEPT)
        wanted = [snapshots.make_snapshot(session, SYSTEM, 0, 0, "The first release.").id]
        source = intake.add_source(session, SYSTEM, intake.NewSource("posts", SourceKind.FILES, Consent.AGREED))
        folder = tmp_path_factory.mktemp("posts")
        started = intake.start_import(session, SYSTEM, at_path(zip_of_posts(folder / "posts.zip")), source)
        wanted.append(started.job_id or 0)
    assert [wait_for(job).state for job in wanted] == [JobState.SUCCEEDED, JobState.SUCCEEDED]
    return started.id


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_pages_are_accessible_and_fit(
    sign_in: Open, site: Site, filled: int, name: str, width: int, scheme: str
) -> None:
    page = sign_in(name, width, 844, color_scheme=scheme)
    problems: dict[str, list[str]] = {}
    for path in PAGES[name]:
        answer = page.goto(site.url + path.replace("LAST", str(filled)))
        assert answer
        found = violations(page)
        if answer.status != (404 if path.endswith("999999") else 200):
            found.append(f"status {answer.status}")
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append("wider than the screen")
        if found:
            problems[path] = found
    assert problems == {}


def test_the_sign_in_page_is_accessible(browser: Browser, site: Site) -> None:
    page = browser.new_page()
    page.goto(f"{site.url}/sign-in")
    assert violations(page) == []
    page.close()
