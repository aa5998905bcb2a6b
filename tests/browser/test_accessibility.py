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

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("worker")]

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
    """What axe-core finds on a page as it is."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())
    asked = json.dumps({"runOnly": RULES, "resultTypes": ["violations"]})
    told = "found => found.violations.map(one => `${one.id}: ${one.nodes[0].html.slice(0, 120)}`)"
    return list(page.evaluate(f"axe.run({asked}).then({told})"))  # all else that it found is long


def problems(page: Page) -> list[str]:
    """What axe-core finds or is cut off in each of the LOOKS, between which the page is not loaded again."""
    found = []
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)
        said = violations(page)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            said.append("wider than the screen")
        found += [f"{one} ({width} px, {scheme})" for one in said]
    return found


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


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_accessible_and_fit(sign_in: Open, site: Site, filled: int, name: str) -> None:
    page = sign_in(name)
    found: dict[str, list[str]] = {}
    for path in PAGES[name]:
        answer = page.goto(site.url + path.replace("LAST", str(filled)))
        assert answer
        assert answer.status == (404 if path.endswith("999999") else 200), path
        found[path] = problems(page)
    assert {path: said for path, said in found.items() if said} == {}


def test_the_sign_in_page_is_accessible(browser: Browser, site: Site) -> None:
    page = browser.new_page()
    page.goto(f"{site.url}/sign-in")
    assert violations(page) == []
    page.close()
