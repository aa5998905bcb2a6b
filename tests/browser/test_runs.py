"""Runs in a real browser: the practice run from the click to its curve and its cancel, and the pages' looks."""

import re
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from app.tables import JobState
from app.training.settings import BY_NAME
from tests.browser.conftest import Open, Site
from tests.browser.test_accessibility import problems
from tests.training.made_runs import make_built_snapshot, make_clip, make_run

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("worker")]

MINUTES = 5 * 60_000  # beside other tests on a busy machine
PATHS = (
    *("/runs", "/runs/new", "/runs/{done}", "/runs/{open}", "/runs/{open}?cancel=true"),
    "/runs/compare?run={done}&run={open}",
)


@pytest.fixture(scope="module")
def made(site: Site) -> dict[str, int]:
    """A run that is done and one that says it runs."""
    settings = replace(BY_NAME["ip-clip"].settings, batch_size=4, warmup_steps=2)
    with site.session() as session:
        snapshot, base = make_built_snapshot(session), make_clip(session)
        done = make_run(session, snapshot=snapshot, base=base, settings=settings, notes=["Loads with 1 process."])
        running = replace(settings, seed=1)
        going = make_run(session, snapshot=snapshot, base=base, settings=running, state=JobState.RUNNING, epochs=2)
        return {"done": done.id, "open": going.id}


def has_curve(page: Page, chart: str) -> bool:
    """Whether a line of a colour of its own is drawn on the canvas."""
    drawn = "canvas => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size > 20"
    return bool(page.locator(f"{chart} canvas").evaluate(drawn))


def test_a_newcomer_starts_the_practice_run_sees_its_curve_and_cancels_it(sign_in: Open, site: Site) -> None:
    page = sign_in("elm", 1440, 900)
    page.goto(f"{site.url}/runs")
    page.click("text=Try the practice run")
    page.wait_for_url("**/runs/1")
    legend = page.locator("#curve-loss .u-series", has_text="training")
    expect(legend).not_to_contain_text("–", timeout=MINUTES)
    assert has_curve(page, "#curve-loss")
    expect(page.locator("text=/Epoch 1 of 12, step [1-9]/")).to_be_visible(timeout=MINUTES)
    page.click("text=Cancel run")
    expect(page.locator(".note", has_text="Cancel run 1?")).to_be_visible()
    page.click("button:has-text('Cancel run 1')")
    expect(page.locator(".badge", has_text="Cancelled")).to_be_visible(timeout=MINUTES)
    expect(page.locator("#live[hx-trigger]")).to_have_count(0)


def test_the_pages_of_runs_are_accessible_and_fit(sign_in: Open, site: Site, made: dict[str, int]) -> None:
    page = sign_in("elm")
    found: dict[str, list[str]] = {}
    for path in PATHS:
        page.goto(site.url + path.format(**made))
        page.wait_for_load_state("networkidle")
        found[path] = problems(page)
    assert {path: said for path, said in found.items() if said} == {}


def test_the_newest_figures_stand_in_the_legends_of_the_curves(sign_in: Open, site: Site, made: dict[str, int]) -> None:
    page = sign_in("elm", 1440, 900)
    page.goto(f"{site.url}/runs/{made['done']}")
    expect(page.locator("#curve-loss .u-series", has_text="validation")).to_contain_text("1.395")
    expect(page.locator("#curve-rate .u-legend")).to_contain_text("1e-5")
    page.goto(f"{site.url}/runs/compare?run={made['done']}&run={made['open']}")
    for run in made.values():
        expect(page.locator(".u-series", has_text=f"run {run}").first).to_be_visible()


def test_what_to_expect_is_reckoned_anew_when_a_field_changes(sign_in: Open, site: Site, made: dict[str, int]) -> None:
    page = sign_in("elm", 1440, 900)
    page.goto(f"{site.url}/runs/new")
    page.fill("[name=epochs]", "7")
    page.locator("[name=epochs]").blur()
    expect(page.locator("#expect")).to_contain_text("35 (5 an epoch)")
    page.select_option("[name=recipe]", "plip")
    expect(page.locator("[name=epochs]")).to_have_value("8")
    expect(page.locator("#expect")).to_contain_text("40 (5 an epoch)")


def test_without_scripts_a_recipe_is_filled_in_and_a_run_launched(
    sign_in: Open, site: Site, made: dict[str, int]
) -> None:
    page = sign_in("elm", 1440, 900, java_script_enabled=False)
    page.goto(f"{site.url}/runs/new")
    page.select_option("[name=recipe]", "scratch")
    page.click("button:has-text('Fill in')")
    expect(page.locator("[name=epochs]")).to_have_value("12")
    page.fill("[name=epochs]", "many")
    page.click("main button:has-text('Start')")
    expect(page.locator("#f-epochs-error")).to_have_text("Use a whole number.")
    page.fill("[name=epochs]", "2")
    page.fill("[name=note]", "without scripts")
    page.click("main button:has-text('Start')")
    expect(page).to_have_url(re.compile(r"/runs/\d+$"))
    expect(page.locator(".page-head")).to_contain_text("without scripts")
