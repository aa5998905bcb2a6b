"""A trainer that begins again deletes what lies behind its border and writes it anew: an open page shows it once."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import delete

from app.tables import JobState, Run, RunEpoch, RunStep
from app.training.settings import BY_NAME
from tests.browser.conftest import Open, Site
from tests.training.made_runs import STEPS_AN_EPOCH, add_steps, make_run, metrics

pytestmark = pytest.mark.process

# Keeps the charts that the page draws, so that a test can read what is on them.
KEEP_CHARTS = """
  window.charts = [];
  let made;
  const kept = (Chart) => new Proxy(Chart, {
    construct: (target, given) => { const chart = new target(...given); window.charts.push(chart); return chart; },
  });
  Object.defineProperty(window, "uPlot", { get: () => made, set: (Chart) => { made = kept(Chart); } });
"""


def drawn(page: Page) -> dict[int, float]:
    """The training loss by step as the chart has it; each step once, in order."""
    steps, losses = page.evaluate("charts.findLast((one) => one.root.closest('#curve-loss')).data.slice(0, 2)")
    assert steps == sorted(set(steps))
    return {step: loss for step, loss in zip(steps, losses, strict=True) if loss is not None}


def look(page: Page, step: int) -> None:
    """The page's next look at the curves, which end with that step by now."""
    page.clock.fast_forward(2_000)
    ends_with(page, step)


def ends_with(page: Page, step: int) -> None:
    """Waits until the legend reads that step: that of the newest point."""
    expect(page.locator("#curve-loss .u-value").first).to_have_text(str(step))


def stored(site: Site, run_id: int) -> dict[int, float]:
    with site.session() as session:
        rows = session.query(RunStep).filter_by(run_id=run_id).order_by(RunStep.step)
        return {row.step: row.loss for row in rows}


def begin_again(site: Site, run_id: int, border: int) -> None:
    with site.session() as session:
        session.execute(delete(RunStep).where(RunStep.run_id == run_id, RunStep.step >= border))
        session.execute(delete(RunEpoch).where(RunEpoch.run_id == run_id, RunEpoch.epoch > border // STEPS_AN_EPOCH))


def train(site: Site, run_id: int, first: int, stop: int) -> None:
    with site.session() as session:
        run = session.get_one(Run, run_id)
        assert run.job_id
        add_steps(session, run, run.job_id, first, stop, worse=0.5, began=datetime.now(UTC))


def opened(sign_in: Open, site: Site, run_id: int, step: int) -> Page:
    page = sign_in("elm", 1440, 900)
    page.add_init_script(KEEP_CHARTS)
    page.clock.install()
    page.goto(f"{site.url}/runs/{run_id}")
    ends_with(page, step)
    assert drawn(page) == pytest.approx(stored(site, run_id))
    return page


@pytest.mark.parametrize("steps_seen", [0, 5, 20], ids=["before the first step", "before the old end", "beyond it"])
def test_steps_that_are_done_again_are_drawn_once(sign_in: Open, site: Site, steps_seen: int) -> None:
    """`steps_seen` are those of the second trainer at the page's first look behind the restart."""
    with site.session() as session:
        own = replace(BY_NAME["scratch"].settings, seed=1 + steps_seen)  # an equal run is never launched twice
        run_id = make_run(session, epochs=3, state=JobState.RUNNING, settings=own).id
    page = opened(sign_in, site, run_id, 3 * STEPS_AN_EPOCH - 1)
    border = 2 * STEPS_AN_EPOCH
    begin_again(site, run_id, border)
    if steps_seen:
        train(site, run_id, border, border + steps_seen)
    look(page, border + steps_seen - 1)
    assert drawn(page) == pytest.approx(stored(site, run_id))
    train(site, run_id, border + steps_seen, border + steps_seen + 3)
    look(page, border + steps_seen + 2)
    assert drawn(page) == pytest.approx(stored(site, run_id))


def test_the_curves_of_a_run_that_starts_from_the_beginning_come_again(sign_in: Open, site: Site) -> None:
    with site.session() as session:
        run_id = make_run(session, epochs=0, state=JobState.RUNNING).id
    train(site, run_id, 0, 8)
    page = opened(sign_in, site, run_id, 7)
    begin_again(site, run_id, 0)
    page.clock.fast_forward(2_000)
    expect(page.get_by_text("The curves begin with the first step that is logged.")).to_be_visible()
    train(site, run_id, 0, 3)
    page.clock.fast_forward(2_000)
    expect(page.locator("#curve-loss")).to_be_visible()
    look(page, 2)
    assert drawn(page) == pytest.approx(stored(site, run_id))


def test_the_curves_of_the_validation_come_with_the_first_epoch_and_the_others_stay(sign_in: Open, site: Site) -> None:
    with site.session() as session:
        own = replace(BY_NAME["scratch"].settings, seed=99)
        run_id = make_run(session, epochs=0, state=JobState.RUNNING, settings=own).id
    train(site, run_id, 0, STEPS_AN_EPOCH)
    page = opened(sign_in, site, run_id, STEPS_AN_EPOCH - 1)
    expect(page.locator("#curve-recall")).to_have_count(0)
    with site.session() as session:
        session.add(RunEpoch(run_id=run_id, epoch=1, metrics=metrics(1)))
    page.clock.fast_forward(2_000)
    expect(page.locator("#curve-recall .u-value").nth(1)).to_have_text("40 %")
    ends_with(page, STEPS_AN_EPOCH - 1)
    assert drawn(page) == pytest.approx(stored(site, run_id))
