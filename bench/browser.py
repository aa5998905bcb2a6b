"""A reviewer at a browser, as far as the server can tell. Imports nothing of the app: it is the other side."""

import html
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx2

from bench.processes import wait_for_all

PASSWORD = "correct horse battery"
WARM_UP = 20
HEADERS = {"sec-fetch-site": "same-origin", "accept": "text/html"}
HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
FORM = re.compile(r'<form class="decide"[^>]*? action="([^"]+)"(.*?)</form>', re.DOTALL)
CAPTION = re.compile(r"<textarea[^>]*>\n?(.*?)</textarea>", re.DOTALL)
CHOSEN = re.compile(r'name="(\w+)" form="decide"><option value="">–</option>(?:(?!</select>).)*?value="(\w+)" selected')
CANDIDATE = re.compile(r'id="review"\s+data-candidate="(\d+)"')


@dataclass
class Sitting:
    """What one reviewer did: seconds a decision, the candidates decided, and when it began and ended."""

    seconds: list[float] = field(default_factory=list)
    decided: list[int] = field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0


@contextmanager
def signed_in(url: str, name: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url, headers=HEADERS, timeout=60) as client:
        answer = client.post("/sign-in", data={"name": name, "password": PASSWORD, "next": ""})
        assert answer.status_code == 303, answer.text
        yield client


def person(number: int) -> str:
    """The name of a reviewer."""
    return f"alder{number}"


def review(number: int, url: str, decisions: int) -> Sitting:
    """Decides some candidates to warm up, waits for the other reviewers, and decides `decisions` more.

    Of ten, seven are accepted as they are, one after an edit, and two rejected.
    """
    sitting = Sitting()
    with signed_in(url, person(number)) as client:
        page = client.get("/review").text
        for nth in range(WARM_UP + decisions):
            if nth == WARM_UP:
                wait_for_all()
                sitting = Sitting(began=time.monotonic())
            page = decide(client, page, nth, sitting)
    sitting.ended = time.monotonic()
    return sitting


def decide(client: httpx2.Client, page: str, nth: int, sitting: Sitting) -> str:
    """Sends the decision on the page's candidate; returns the page of the next one."""
    candidate = shown(page)
    address, form = filled(page, nth)
    before = time.perf_counter()
    answer = client.post(address, data=form, headers={"hx-request": "true"})
    sitting.seconds.append(time.perf_counter() - before)
    sitting.decided.append(candidate)
    assert answer.status_code == 200, answer.text[:2000]
    assert shown(answer.text) != candidate, "the same candidate again"
    return answer.text


def shown(page: str) -> int:
    found = CANDIDATE.search(page)
    assert found, page[:2000]
    return int(found[1])


def filled(page: str, nth: int) -> tuple[str, dict[str, str]]:
    """The form's address and what the browser would send of it."""
    found, caption = FORM.search(page), CAPTION.search(page)
    assert found, page[:2000]
    assert caption, page[:2000]
    form = dict(HIDDEN.findall(found[2])) | dict(CHOSEN.findall(page))
    form |= {"caption": html.unescape(caption[1]), "diagnosis": "", "seconds": "6"}
    if nth % 10 in (3, 8):
        return found[1], form | {"reason": "image_too_poor"}
    if nth % 10 == 5:
        form["caption"] += " Clear margins."
    return found[1], form | {"decision": "accept"}
