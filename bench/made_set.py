"""The made set on its way through the product as people send it: in, reviewed, frozen, trained on; all over HTTP."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

from bench import rows
from bench.browser import CANDIDATE, filled

FIRST = datetime(2024, 3, 1, 10, tzinfo=UTC)
SIDE = 224  # px, the least that the quality stage takes
NAME = "drawn"

LEFT = """SELECT (SELECT count(*) FROM job WHERE state IN ('queued', 'running')) + (SELECT count(*) FROM stage_todo)
    + (SELECT count(*) FROM candidate WHERE state IN ('incoming', 'filtering'))"""
FAILED = "SELECT kind, error FROM job WHERE state = 'failed'"


def write_posts(inbox: Path, count: int, authors: int, seed: int, /, **fixed: Any) -> Path:
    """An Instaloader folder of drawn pictures, one a post, by as many authors."""
    from app.demo.instaloader import Post, write_post
    from app.demo.pictures import Picture
    from workers.ml import drawn

    folder = inbox / NAME
    folder.mkdir(parents=True)
    for number, pair in enumerate(drawn.pairs(count, seed, SIDE, **fixed)):
        picture = Picture(pair.jpeg, SIDE, SIDE, "drawn", None)
        at = FIRST + timedelta(seconds=number)
        write_post(folder, Post(f"path_demo_{number % authors}", at, pair.caption, (picture,)))
    return folder


def import_posts(admin: httpx2.Client) -> None:
    """Starts the import of the folder in the inbox, whose owners agreed."""
    key = re.search(rf'<option value="([^"]+)"[^>]*>[^<]*{NAME}', admin.get("/imports/new").text)
    assert key, "the folder is not in the inbox"
    asked = {"inbox": key[1], "source": "", "name": NAME, "kind": "files", "consent": "agreed"}
    sent(admin.post("/imports", data=asked, files={"files": ("", b"")}))


def accept_all(reviewer: httpx2.Client) -> int:
    """Accepts every candidate that the review page shows, as it is. Returns how many."""
    page, accepted = reviewer.get("/review").text, 0
    while CANDIDATE.search(page):
        address, form = filled(page, 0)
        answer = reviewer.post(address, data=form, headers={"hx-request": "true"})
        assert answer.status_code == 200, answer.text[:2000]
        page, accepted = answer.text, accepted + 1
    return accepted


def freeze(admin: httpx2.Client, val: int) -> None:
    sent(admin.post("/snapshots", data={"val": str(val), "test": "0", "note": "drawn"}))


def train(admin: httpx2.Client, settings: Mapping[str, str], **start: str) -> int:
    """Launches a run; returns its number. `settings` as the form sends them, `start` what it starts from."""
    asked = {"snapshot": "", "base": "", "architecture": "", "recipe": "scratch"} | settings | start
    return int(sent(admin.post("/runs", data=asked)).rsplit("/", 1)[1])


def sent(answer: httpx2.Response) -> str:
    """Where the form led."""
    assert answer.status_code == 303, f"{answer.status_code}: {answer.text[:2000]}"
    return str(answer.headers["location"])


def wait(url: str, seconds: float, left: str = LEFT) -> None:
    """Until a query counts nothing any more: by default of what is left to do. Raises AssertionError if a job fails."""
    deadline = time.monotonic() + seconds
    while rows.query(url, left)[0][0]:
        failed = rows.query(url, FAILED)
        assert not failed, failed
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.3)
    assert not rows.query(url, FAILED), rows.query(url, FAILED)
