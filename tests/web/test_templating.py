import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from jinja2_fragments import BlockNotFoundError

from app.web.environment import TEMPLATES, environment
from tests.web.site import BROWSER, HTMX, PAGES, Site

STATIC = TEMPLATES.parent / "static"


def test_a_browser_gets_the_page_and_htmx_the_block(site: Site) -> None:
    page, part = site.client(**BROWSER).get("/"), site.client(**HTMX).get("/")
    assert "<html" in page.text
    assert "<p>whole</p>" in page.text
    assert part.text.startswith("<p>&lt;b&gt;")
    assert "whole" not in part.text
    assert page.headers["vary"] == part.headers["vary"] == "HX-Request"


def test_a_block_alone_knows_the_macros(site: Site) -> None:
    assert "Accepted</span>" in site.client(**HTMX).get("/").text


def test_several_blocks_come_in_their_order(site: Site) -> None:
    text = site.client(**HTMX).get("/two-blocks").text
    assert text.index("<p>x") < text.index("<p>other</p>")


def test_going_back_in_history_gets_the_whole_page(site: Site) -> None:
    assert "<html" in site.client(**HTMX | {"HX-History-Restore-Request": "true"}).get("/").text


def test_a_block_that_is_not_there_fails(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PAGES, "page.html", "no blocks")
    environment.cache.clear()  # type: ignore[union-attr]
    assert site.client(**HTMX).get("/").status_code == 500
    assert issubclass(BlockNotFoundError, Exception)


@pytest.mark.parametrize("name", ["page.html", "note.txt", "no-ending"])
def test_every_value_is_escaped_whatever_the_template_is_called(name: str) -> None:
    assert environment.overlay().from_string("{{ word }}").render(word="<b>") == "&lt;b&gt;"
    assert environment.autoescape is True


def test_an_undefined_name_fails() -> None:
    with pytest.raises(UndefinedError):
        environment.from_string("{{ nobody }}").render()


def test_urls_are_paths_whatever_host_and_scheme_the_request_has(site: Site) -> None:
    text = site.client(**BROWSER).get("/", headers={"host": "127.0.0.1:9"}).text
    assert 'href="/static/css/app.css"' in text
    assert "http://" not in re.sub(r"<svg.*?</svg>", "", text)


@pytest.mark.parametrize("path", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: path.name)
def test_no_template_has_inline_script_style_or_raw_text(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|hx-on|javascript:", text)
    assert not re.search(r"\|\s*safe\b|autoescape", text)


def test_a_page_loads_only_files_that_are_there(site: Site) -> None:
    client = site.client(**BROWSER)
    found = re.findall(r'(?:src|href)="(/static/(?!vendor)[^"]+)"', client.get("/").text)
    assert len(found) >= 4
    assert {client.get(path).status_code for path in found} == {200}


def test_scripts_wait_for_the_page(site: Site) -> None:
    scripts = re.findall(r"<script[^>]*>", site.client(**BROWSER).get("/").text)
    assert scripts
    assert all(" defer" in script for script in scripts)
