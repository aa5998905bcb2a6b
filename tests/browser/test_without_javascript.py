"""Every act of a reviewer and an admin is a real form: it works with scripts switched off."""

import re
import tarfile
from pathlib import Path

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from app.tables import Candidate, CandidateState, Caption, Finding, FindingNow, Outcome, Stage
from tests.browser.conftest import Open, Site
from tests.browser.test_main_path import CASES, zip_of_posts

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("worker")]


def state(site: Site, candidate_id: int) -> CandidateState:
    with site.session() as session:
        return session.get_one(Candidate, candidate_id).state


def test_reviewing_without_scripts(sign_in: Open, site: Site) -> None:
    first, second, third = site.add_candidates(3)
    page = sign_in("alder", java_script_enabled=False)
    page.goto(f"{site.url}/review")
    page.click("#decide >> text=Accept")
    assert state(site, first) is CandidateState.ACCEPTED

    page.goto(f"{site.url}/review?reject=true")
    page.click("text=Image too poor")
    assert state(site, second) is CandidateState.REJECTED

    page.click("text=Edit >> nth=0")
    page.fill("#caption", "Edited without scripts.")
    page.click("#decide >> text=Accept")
    assert state(site, third) is CandidateState.ACCEPTED
    with site.session() as session:
        candidate = session.get_one(Candidate, third)
        text = session.scalars(select(Caption.text).where(Caption.id == candidate.settled_caption_id)).one()
        assert text == "Edited without scripts."

    expect(page.locator("main")).to_contain_text("Nothing waits for you")
    page.click("text=Undo")
    assert state(site, third) is CandidateState.QUEUED
    expect(page.locator("#caption")).to_have_value("Edited without scripts.")


def score_caption(site: Site, candidate_id: int, score: float) -> None:
    with site.session() as session:
        finding = Finding(
            candidate_id=candidate_id,
            stage="caption",
            stage_version=session.get_one(Stage, "caption").active_version,
            input_hash="0" * 64,
            outcome=Outcome.OK,
            score=score,
        )
        session.add(finding)
        session.flush()
        session.add(
            FindingNow(
                candidate_id=candidate_id, stage="caption", finding_id=finding.id, outcome=Outcome.OK, score=score
            )
        )


def test_a_threshold_without_scripts(sign_in: Open, site: Site) -> None:
    (candidate,) = site.add_candidates(1)
    score_caption(site, candidate, 0.4)
    page = sign_in("elm", java_script_enabled=False)
    page.goto(f"{site.url}/prefilter/caption?threshold=0.6")
    page.click("text=/^Apply 0.6/")
    expect(page).to_have_url(re.compile("/prefilter$"))
    with site.session() as session:
        assert session.get_one(Stage, "caption").threshold == 0.6


def test_adding_and_disabling_a_person_without_scripts(sign_in: Open, site: Site) -> None:
    page = sign_in("elm", java_script_enabled=False)
    page.goto(f"{site.url}/people")
    page.fill("[name=name]", "maple")
    page.fill("[name=password]", "a short sentence")
    page.click("text=Add this person")
    expect(page.locator("table")).to_contain_text("Maple")
    page.click("tr:has-text('Maple') >> text=Change")
    page.click("text=Disable maple")
    expect(page.locator("tr:has-text('Maple')")).to_contain_text("Disabled")


def test_importing_and_taking_back_without_scripts(sign_in: Open, site: Site, tmp_path: Path) -> None:
    page = sign_in("elm", java_script_enabled=False)
    page.goto(f"{site.url}/imports/new")
    page.set_input_files("input[type=file]", str(zip_of_posts(tmp_path / "posts.zip")))
    page.fill("[name=name]", "path_demo_01")
    page.select_option("[name=consent]", "agreed")
    page.click("main button.btn-primary")
    expect(page.locator(".page-head .badge")).to_contain_text("Done", timeout=30_000)  # the page reloads itself
    expect(page.locator("#refused")).to_contain_text("The picture is cut short or broken")
    page.click(f"summary:has-text('Take back {CASES} candidates')")
    page.fill("[name=confirm]", str(CASES))
    page.click(".dialog button:has-text('Take back')")
    expect(page.locator(".page-head")).to_contain_text("Taken back")


def test_a_snapshot_without_scripts(sign_in: Open, site: Site, tmp_path: Path) -> None:
    (candidate,) = site.add_candidates(1, caption="Released without scripts.")
    reviewer = sign_in("birch", java_script_enabled=False)
    reviewer.goto(f"{site.url}/review?candidate={candidate}")
    reviewer.click("#decide >> text=Accept")
    page = sign_in("elm", java_script_enabled=False)
    page.goto(f"{site.url}/snapshots")
    for split in ("val", "test"):
        page.fill(f"[name={split}]", "0")
    page.click("button:has-text('Make snapshot')")
    page.get_by_role("link", name="v0001").click(timeout=30_000)
    with page.expect_download() as download:
        page.click("text=Download, ", timeout=30_000)
    download.value.save_as(tmp_path / "v0001.tar")
    with tarfile.open(tmp_path / "v0001.tar") as tar:
        table = tar.extractfile("v0001/captions.csv")
        assert table
        assert b"Released without scripts." in table.read()
