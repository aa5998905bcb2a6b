"""The `ipath` command as a shell sees it: what it prints, its exit codes, and what it leaves behind."""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil
import pytest
import typer.main
from safetensors.torch import save_file
from sqlalchemy.orm import Session
from typer.core import TyperGroup
from typer.testing import CliRunner

from app import cli, db, embedded
from app.curation import actions, leases
from app.tables import Candidate
from tests.browser.conftest import free_port
from tests.curation.test_decide import decision
from tests.encoders.models import TINY, tiny_state
from tests.factories import make_person, make_picture
from tests.intake.importing import add_post

pytestmark = pytest.mark.process
POSTS = 4
ROWS = 3


class Shell:
    """Runs `ipath` in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.url = f"http://127.0.0.1:{free_port()}"
        inherited = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
        self.environment = inherited | {
            "IPATH_HOME": str(home),
            "IPATH_PORT": self.url.rsplit(":", 1)[1],
            "IPATH_CLIP_MODEL": "tests/tiny_clip.json",
            "IPATH_CLIP_PRETRAINED": "",
            "IPATH_JOB_LEASE_SECONDS": "6",  # a busy machine may keep a heartbeat waiting for seconds
            "IPATH_SWEEP_SECONDS": "1",
            "COLUMNS": "200",
        }

    def start(self, *argv: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "app.cli", *map(str, argv)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self.environment, stdout=pipe, stderr=pipe, text=True)

    def run(self, *argv: object, code: int = 0) -> str:
        """What the command prints; the test fails on another exit code."""
        process = self.start(*argv)
        stdout, stderr = process.communicate(timeout=240)
        assert process.returncode == code, stdout + stderr
        return stdout if code in (0, 1) and stdout else stderr

    def json(self, *argv: object, code: int = 0) -> Any:
        return json.loads(self.run(*argv, "--json", code=code))

    def processes(self, word: str = "") -> list[psutil.Process]:
        """The processes that work on this home and have `word` in their command."""
        found = psutil.process_iter(["name", "cmdline", "environ"])
        ours = [process for process in found if str(self.home) in str(process.info)]
        return [process for process in ours if word in " ".join(process.info["cmdline"] or ())]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(tmp_path_factory.mktemp("shell") / "home")


@pytest.fixture(scope="module")
def posts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Instaloader folder, and beside it a table with its pictures."""
    root = tmp_path_factory.mktemp("posts")
    for number in range(POSTS):
        add_post(root / "path_demo_01", number, f"Nodular basal cell carcinoma, case {number}, H&E, 10x.")
    table = root / "table"
    table.mkdir()
    with (table / "captions.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "caption"])
        for number in range(ROWS):
            (table / f"{number}.jpg").write_bytes(make_picture(900 + number))
            rows.writerow([f"{number}.jpg", f"Melanoma in situ, case {number}, H&E, 20x."])
    return root


@pytest.fixture(scope="module")
def imported(shell: Shell, posts: Path) -> dict[str, int]:
    """What an import says while no server runs."""
    return import_posts(shell, posts)


def import_posts(shell: Shell, posts: Path) -> dict[str, int]:
    found: dict[str, int] = shell.json("import", posts / "path_demo_01", "--consent", "agreed")
    return found


@pytest.fixture(scope="module")
def served(shell: Shell, imported: object) -> Iterator["subprocess.Popen[str]"]:
    """`ipath serve` on the home that was imported into, until it answers."""
    process = shell.start("serve")
    until(lambda: answers(shell.url) or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    yield process
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def until(what: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


def commands(command: Any, *words: str) -> Iterator[tuple[str, ...]]:
    yield words
    for name, part in command.commands.items() if isinstance(command, TyperGroup) else ():
        yield from commands(part, *words, name)


@pytest.mark.parametrize("words", [*commands(typer.main.get_command(cli.app))], ids=" ".join)
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    told = CliRunner().invoke(cli.app, [*words, "--help"])
    assert told.exit_code == 0
    assert "Usage:" in told.output


@pytest.mark.usefixtures("served")
def test_importing_the_same_files_again_changes_nothing(shell: Shell, posts: Path, imported: dict[str, int]) -> None:
    assert imported == {"import": imported["import"], "taken": POSTS, "updated": 0, "unchanged": 0, "refused": 0}
    again = import_posts(shell, posts)
    assert again == {"import": again["import"], "taken": 0, "updated": 0, "unchanged": POSTS, "refused": 0}


def test_a_worker_that_dies_while_the_shell_waits_is_started_again(tmp_path: Path) -> None:
    add_post(tmp_path / "posts", 0, "Its picture is broken.", (make_picture(0)[:300],))
    shell = Shell(tmp_path / "home")
    process = shell.start("import", tmp_path / "posts", "--json")
    until(lambda: bool(shell.processes("celery")))
    for worker in shell.processes("celery"):
        worker.kill()
    stdout, stderr = process.communicate(timeout=60)
    assert json.loads(stdout)["refused"] == 1, stderr


def test_a_path_that_is_not_there_is_a_usage_error(shell: Shell, tmp_path: Path) -> None:
    assert "does not exist" in shell.run("import", tmp_path / "nowhere", code=2)


@pytest.mark.usefixtures("served")
def test_people_are_added_given_passwords_and_disabled(shell: Shell) -> None:
    added = shell.json("user", "add", "rowan", "--role", "researcher")
    assert (added["name"], added["role"]) == ("rowan", "researcher")
    assert "called rowan already" in shell.run("user", "add", "rowan", code=1)
    changed = shell.json("user", "passwd", "rowan")
    assert changed["password"] != added["password"]
    assert not signs_in(shell.url, "rowan", added["password"])
    assert signs_in(shell.url, "rowan", changed["password"])
    assert shell.json("user", "disable", "rowan") == {"name": "rowan", "disabled": True}
    assert not signs_in(shell.url, "rowan", changed["password"])
    assert {"name": "rowan", "role": "researcher", "reviews": 0, "disabled": True} in shell.json("user", "list")
    assert "no one called nobody" in shell.run("user", "disable", "nobody", code=1)


def signs_in(url: str, name: str, password: str) -> bool:
    form = {"name": name, "password": password}
    return httpx.post(f"{url}/sign-in", data=form, headers={"origin": url}).status_code == 303


@pytest.mark.usefixtures("served")
def test_a_table_is_imported_by_the_worker_of_a_running_server(shell: Shell, posts: Path) -> None:
    assert shell.json("import", posts / "table" / "captions.csv", "--consent", "agreed")["taken"] == ROWS


@pytest.mark.usefixtures("served")
def test_the_prefilter_runs_again(shell: Shell) -> None:
    assert shell.json("prefilter", "run")["candidates"] >= POSTS
    assert "no such stage" in shell.run("prefilter", "run", "--stage", "astrology", code=1)


@pytest.mark.usefixtures("served")
def test_a_snapshot_is_made_listed_exported_and_verified(shell: Shell, tmp_path: Path) -> None:
    assert "no accepted pair" in shell.run("snapshot", "create", code=1)
    accept_one(shell)
    made = shell.json("snapshot", "create", "--val", 0, "--test", 0, "--note", "from the shell")
    built = Path(made["folder"])
    listed = shell.json("snapshot", "list")
    assert [row["number"] for row in listed] == [made["snapshot"]]
    assert listed[0]["state"] == "ready"
    copy = tmp_path / "copy"
    assert shell.json("snapshot", "export", made["snapshot"], copy)["folder"] == str(copy)
    assert (copy / "SHA256SUMS").read_bytes() == (built / "SHA256SUMS").read_bytes()
    assert shell.json("snapshot", "verify", copy)["problems"] == []
    flip_a_byte(copy / "README.md")
    assert "README.md" in shell.json("snapshot", "verify", copy, code=1)["problems"][0]
    assert "is there already" in shell.run("snapshot", "export", made["snapshot"], copy, code=1)
    assert "no snapshot v0099" in shell.run("snapshot", "export", 99, tmp_path / "none", code=1)


def accept_one(shell: Shell) -> None:
    """Accepts the first candidate that comes out of the pre-filter."""
    engine = db.make_engine(embedded.database_url(shell.home))
    try:
        with Session(engine) as session, session.begin():
            oak = make_person(session, "oak")
            until(lambda: bool(leases.hold(session, oak)))
            (lease, *_) = leases.hold(session, oak)
            version = session.get_one(Candidate, lease.candidate_id).caption_version
            actions.decide(session, oak, decision(lease, caption_version=version))
    finally:
        engine.dispose()


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.usefixtures("served")
def test_doctor_finds_nothing_to_mend_while_all_runs(shell: Shell) -> None:
    found = {check["name"]: check["state"] for check in shell.json("doctor")}
    assert {found[name] for name in ("Database", "Broker", "Storage")} == {"ok"}
    assert "bad" not in found.values()


@pytest.mark.usefixtures("served")
def test_an_encoder_is_registered_and_taken_into_use(shell: Shell) -> None:
    models = shell.home / "models"
    models.mkdir()
    shutil.copy(TINY, models)
    save_file(tiny_state(1), models / "run-1.safetensors")
    (models / "bad.safetensors").write_bytes(b"no model")
    add = ("encoder", "add", "tiny_clip.json", "--checkpoint")
    assert "There is no file ../x.pt in the models folder" in shell.run(*add, "../x.pt", code=1)
    assert "not a safetensors file" in shell.run(*add, "bad.safetensors", code=1)
    made = shell.json(*add, "run-1.safetensors")
    assert made == {"encoder": made["encoder"], "name": "tiny_clip/run-1", "width": 32, "weights": "trained"}
    used = shell.run("encoder", "use", made["encoder"])
    assert f"images were embedded; encoder {made['encoder']} is in use." in used


@pytest.mark.usefixtures("served")
def test_a_second_serve_on_the_same_home_is_refused(shell: Shell) -> None:
    assert "already run by process" in shell.run("serve", code=1)
    assert answers(shell.url)


def test_serve_says_that_its_port_is_taken_and_leaves_nothing_running(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "home")
    with socket.create_server(("127.0.0.1", int(shell.environment["IPATH_PORT"]))):
        assert "set IPATH_PORT to another port" in shell.run("serve", code=1)
    assert shell.processes() == []


def test_a_worker_of_an_unknown_queue_is_refused(shell: Shell) -> None:
    assert "There is no queue cup" in shell.run("worker", "--queues", "cpu,cup", code=1)


def test_an_interrupt_stops_everything_that_serve_started(shell: Shell, served: "subprocess.Popen[str]") -> None:
    assert all(shell.processes(part) for part in ("postgres", "valkey-server", "celery", "app.cli web"))
    served.send_signal(signal.SIGINT)
    stdout, stderr = served.communicate(timeout=60)
    assert served.returncode == 0, stdout + stderr
    assert shell.processes() == []
    assert "admin" in stdout
