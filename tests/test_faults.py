"""Killed workers, a killed server, a broker that lost everything: nothing is lost and nothing done twice."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx2 as httpx
import pytest
from sqlalchemy import func, select, update

from app import jobs, presence, serving
from app.accounts.policies import SYSTEM
from app.config import settings
from app.db import transaction
from app.embedded import EmbeddedServices
from app.intake import actions, locations, queries
from app.intake.actions import NewSource
from app.prefilter import stages
from app.tables import (
    Candidate,
    CandidateState,
    Finding,
    ImportEntry,
    Job,
    JobState,
    Outcome,
    Role,
    StageTodo,
)
from tests.browser.conftest import answers, free_port
from tests.conftest import forget_settings
from tests.factories import PASSWORD, make_person, make_picture
from tests.intake.importing import add_post

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("site")]
POSTS = 34  # two batches of the embedding stage


@pytest.fixture
def site(
    fresh_database: Callable[[], str], fresh_valkey: EmbeddedServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Servers of the test's own, named in the environment that its processes inherit; short leases."""
    values = {
        "DATABASE_URL": fresh_database(),
        "REDIS_URL": fresh_valkey.redis_url,
        "IPATH_HOME": str(tmp_path / "home"),
        "IPATH_JOB_LEASE_SECONDS": "6",  # a busy machine may keep a heartbeat waiting for seconds
        "IPATH_SWEEP_SECONDS": "1",
        "IPATH_CLIP_MODEL": "tests/tiny_clip.json",
        "IPATH_CLIP_PRETRAINED": "",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    forget_settings()
    jobs.sender.cache_clear()
    settings().home_path.mkdir()
    yield
    jobs.sender.cache_clear()
    forget_settings()


class Process:
    """A child in a session of its own that is gone, with all of its own, when the block ends."""

    def __init__(self, *argv: str) -> None:
        self.argv = argv

    def __enter__(self) -> "Process":
        with (settings().home_path / "process.log").open("ab") as log:
            self.child = subprocess.Popen(self.argv, stdout=log, stderr=log, start_new_session=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        if self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()


def worker() -> Process:
    return Process(*serving.worker_command())


def until(what: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)


@pytest.fixture
def posts(tmp_path: Path) -> Path:
    folder = tmp_path / "path_demo_01"
    for number in range(POSTS):
        caption = f"Basal cell carcinoma, nodular type, case number {number}, H&E stain."
        add_post(folder, number, caption, (make_picture(number),))
    return folder


def start(folder: Path) -> int:
    with transaction() as session:
        source = actions.add_source(session, SYSTEM, NewSource(folder.name))
        return actions.start_import(session, SYSTEM, locations.at_path(folder), source).id


def idle() -> bool:
    with transaction() as session:
        opened = session.scalar(select(func.count()).where(Job.state.in_(jobs.OPEN)))
        return not opened and not session.scalar(select(func.count()).select_from(StageTodo))


def entries() -> int:
    with transaction() as session:
        return session.scalar(select(func.count()).select_from(ImportEntry)) or 0


def findings(stage: str) -> int:
    with transaction() as session:
        return session.scalar(select(func.count()).where(Finding.stage == stage)) or 0


def assert_all_went_through_once(taken: Mapping[int, int]) -> None:
    """Import → how many posts it has."""
    with transaction() as session:
        counts = queries.counts(session, list(taken))
        assert {number: (one.taken, one.entries) for number, one in counts.items()} == {
            number: (posts, posts) for number, posts in taken.items()
        }
        states = Counter(session.scalars(select(Candidate.state)))
        assert states == {CandidateState.QUEUED: sum(taken.values())}
        ok = select(Finding.candidate_id, Finding.stage).where(Finding.outcome != Outcome.NOT_RUN)
        assert max(Counter(session.execute(ok).all()).values()) == 1
        ended = session.execute(select(Job.kind, Job.state, Job.error).where(Job.state != JobState.SUCCEEDED))
        assert ended.all() == []


def served() -> set[str]:
    """The queues that a living worker serves."""
    with transaction() as session:
        return presence.served_queues(session)


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a web server of this test answers."""
    port = free_port()
    monkeypatch.setenv("IPATH_PORT", str(port))
    return f"http://127.0.0.1:{port}"


def web() -> Process:
    return Process(sys.executable, "-m", "app.cli", "web")


@pytest.mark.usefixtures("url")
def test_an_import_and_a_stage_go_on_where_killed_workers_left_them_and_without_a_web_server(posts: Path) -> None:
    import_id = start(posts)
    with web() as pages, worker() as first:
        until(lambda: entries() > 0)
        assert served() == {"cpu", "gpu", "llm", "train", "export"}
        pages.kill()
        first.kill()
    until(lambda: served() == set(), 30)
    with worker() as second:
        until(lambda: findings("embedding") > 0)
        second.kill()
    with worker():
        until(idle)
    assert_all_went_through_once({import_id: POSTS})
    assert all(findings(name) >= POSTS for name in stages.NAMES)


def start_again(valkey: EmbeddedServices, pid: int) -> None:
    """Brings the broker back, and spares the test the time after which the sweeper sends again."""

    def is_back() -> bool:
        valkey.supervisor.watch()
        return valkey.supervisor.pid("valkey") != pid

    until(is_back)
    with transaction() as session:
        session.execute(update(Job).values(sent_at=None))


def test_jobs_survive_a_broker_that_lost_everything_and_pages_take_orders_while_it_is_away(
    url: str, posts: Path, fresh_valkey: EmbeddedServices
) -> None:
    waiting = start(posts)
    with transaction() as session:
        make_person(session, "elm", Role.ADMIN)
    add_post(settings().home_path / "inbox" / "ordered", POSTS, "Melanoma in situ, H&E stain.", (make_picture(POSTS),))
    with web(), httpx.Client(base_url=url, headers={"origin": url}) as admin:
        until(lambda: answers(url))
        assert admin.post("/sign-in", data={"name": "elm", "password": PASSWORD}).status_code == 303
        pid = fresh_valkey.supervisor.pid("valkey")
        os.kill(pid, signal.SIGKILL)
        assert {admin.get(page, timeout=5).status_code for page in ("/", "/imports", "/system")} == {200}
        key = re.search(r'<option value="([^"]+)"[^>]*>[^<]*ordered', admin.get("/imports/new").text)
        assert key
        asked = {"inbox": key[1], "source": "", "name": "ordered", "kind": "files", "consent": "agreed"}
        order = admin.post("/imports", data=asked, files={"files": ("", b"")}, timeout=5)
        assert order.status_code == 303
    shutil.rmtree(fresh_valkey.home / "data" / "valkey" / "appendonlydir")
    start_again(fresh_valkey, pid)
    with worker():
        until(idle)
    assert_all_went_through_once({waiting: POSTS, int(order.headers["location"].rsplit("/", 1)[1]): 1})
