"""Screenshots of a demo that it starts and stops: `python -m tests.browser.screenshots [--all FOLDER]`.

Without `--all`, the pictures of README and docs; with it, every page in light and dark, wide and narrow.
"""

import argparse
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.conftest import FLAGS, NAMES, free_port
from tests.browser.test_main_path import press

WHEELS = Path(__file__).parents[1] / ".cache" / "wheels"
DECISIONS = "a a a r3 a a f a a s a a r1 a a a"  # keys of the review page
SHOTS = {
    "review": ("alder", "/review"),
    "prefilter": ("admin", "/prefilter"),
    "snapshot": ("admin", "/snapshots/1"),
    "run": ("admin", "/runs/1"),
}
PAGES = SHOTS | {
    "home": ("alder", "/"),
    "review-edit": ("alder", "/review?edit=true"),
    "review-reject": ("alder", "/review?reject=true"),
    "review-keys": ("alder", "/review?keys=true"),
    "account": ("alder", "/account"),
    "admin-home": ("admin", "/"),
    "candidates": ("admin", "/candidates"),
    "tiles": ("admin", "/candidates?layout=tiles"),
    "candidate": ("admin", "/candidates/1"),
    "adjudicate": ("admin", "/adjudicate"),
    "imports": ("admin", "/imports"),
    "import": ("admin", "/imports/1"),
    "import-new": ("admin", "/imports/new"),
    "threshold": ("admin", "/prefilter/caption"),
    "histology": ("admin", "/prefilter/domain?threshold=0.6"),
    "language": ("admin", "/prefilter/language"),
    "classifiers": ("admin", "/prefilter/classifiers"),
    "classifier": ("admin", "/prefilter/classifiers/1"),
    "duplicates": ("admin", "/duplicates"),
    "models": ("admin", "/models"),
    "model": ("admin", "/models/1"),
    "search": ("admin", "/candidates?q=carcinoma"),
    "snapshots": ("admin", "/snapshots"),
    "runs": ("admin", "/runs"),
    "run-new": ("admin", "/runs/new"),
    "evaluation-sets": ("admin", "/evaluation/sets"),
    "evaluation-new": ("admin", "/evaluation/new"),
    "report": ("admin", "/evaluation/report"),
    "evaluation": ("admin", "/evaluation"),
    "people": ("admin", "/people"),
    "activity": ("admin", "/activity"),
    "system": ("admin", "/system"),
    "job": ("admin", "/jobs/1"),
}


@dataclass(frozen=True)
class Demo:
    """Where a demo answers, and the passwords it printed, by name."""

    url: str
    passwords: dict[str, str]


@contextmanager
def demo() -> Iterator[Demo]:
    """A demo with its sample posts in, in a folder of its own that is gone afterwards."""
    port = free_port()
    with tempfile.TemporaryDirectory() as home:
        if WHEELS.is_dir():
            shutil.copytree(WHEELS, Path(home) / "cache" / "wheels")
        environment = os.environ | {"IPATH_HOME": home, "IPATH_PORT": str(port), "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "app.cli", "serve", "--demo"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield Demo(f"http://127.0.0.1:{port}", passwords(process))
            finally:
                process.send_signal(signal.SIGINT)


def passwords(process: "subprocess.Popen[str]") -> dict[str, str]:
    """Reads what the demo prints until it is ready. Raises RuntimeError when it ends before."""
    assert process.stdout
    found: dict[str, str] = {}
    for line in process.stdout:
        sys.stdout.write(line)
        if row := re.match(r"\W*(\w+)\W+([\w-]{16})\W*$", line):
            found[row[1]] = row[2]
        if line.startswith("Open http"):
            return found
    raise RuntimeError("The demo ended before it was ready.")


def signed_in(browser: Browser, site: Demo, name: str, scheme: str = "light", width: int = 1280) -> Page:
    size = {"width": width, "height": {1280: 800, 1440: 900, 390: 844}[width]}
    page = browser.new_context(viewport=size, color_scheme=scheme, base_url=site.url).new_page()  # type: ignore[arg-type]
    page.goto("/sign-in")
    page.fill("[name=name]", name)
    page.fill("[name=password]", site.passwords[name])
    page.click("text=Sign in >> nth=-1")
    page.wait_for_url(lambda url: "/sign-in" not in url)
    return page


def work(browser: Browser, site: Demo) -> None:
    """The pre-filter ends, a reviewer decides some candidates, an admin freezes what was accepted, and trains."""
    admin, reviewer = signed_in(browser, site, "admin"), signed_in(browser, site, "alder")
    admin.goto("/prefilter")
    expect(admin.locator("text=Running now")).to_have_count(0, timeout=600_000)
    reviewer.goto("/review")
    for keys in DECISIONS.split():
        for key in keys[:-1]:
            reviewer.keyboard.press(key)
        press(reviewer, keys[-1])
    admin.goto("/snapshots")
    admin.fill("[name=val]", "0")
    admin.fill("[name=test]", "0")
    admin.click("text=Make snapshot >> nth=-1")
    admin.get_by_role("link", name="v0001").click(timeout=60_000)
    expect(admin.get_by_role("link", name="Download, ")).to_be_visible(timeout=60_000)
    admin.goto("/runs")
    admin.click("text=Try the practice run")
    admin.get_by_text("Epoch 6 of").wait_for(timeout=600_000)
    for page in (admin, reviewer):
        page.context.close()


def take(browser: Browser, site: Demo, page_name: str, file: Path, scheme: str = "light", width: int = 1280) -> None:
    """One page as a PNG of 256 colours, a third of the size; an octree keeps the few pixels of a link's colour."""
    name, path = PAGES[page_name]
    page = signed_in(browser, site, name, scheme, width)
    page.goto(path)
    page.wait_for_timeout(800)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    shot.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(file, optimize=True)
    page.context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    folder = parser.parse_args().all
    (folder or Path("docs/img")).mkdir(parents=True, exist_ok=True)
    executable = next(found for name in NAMES if (found := shutil.which(name)))
    with demo() as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        work(browser, site)
        if folder is None:
            for name in SHOTS:
                take(browser, site, name, Path("docs/img") / f"{name}.png")
        else:
            for scheme, width, name in product(("light", "dark"), (1440, 390), PAGES):
                take(browser, site, name, folder / f"{name}-{scheme}-{width}.png", scheme, width)
        browser.close()


if __name__ == "__main__":
    main()
