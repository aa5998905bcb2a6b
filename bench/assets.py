"""Bytes of script and style that the review page makes a browser load."""

import gzip
from html.parser import HTMLParser

from bench import browser, rows
from bench.figures import Figure
from bench.ground import Ground, site

CANDIDATES = 20


def run(ground: Ground) -> list[Figure]:
    with ground.place() as environment:
        rows.queued(environment["DATABASE_URL"], rows.no_pictures(CANDIDATES))
        rows.people(environment["DATABASE_URL"], ["alder"])
        with site("web", environment) as web, browser.signed_in(web.url, "alder") as client:
            links = Links()
            links.feed(client.get("/review").text)
            files = {path: client.get(path).raise_for_status().content for path in links.found}
    raw = sum(map(len, files.values())) / 1000
    packed = sum(len(gzip.compress(data)) for data in files.values()) / 1000
    each = ", ".join(f"{path.rsplit('/', 1)[-1]} {len(data) / 1000:.0f}" for path, data in files.items())
    return [Figure("Script and style of the review page", raw, "kB", f"{packed:.0f} kB by gzip; {each}", at_most=120)]


class Links(HTMLParser):
    """Collects the paths of scripts and style sheets."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and (path := given.get("src")):
            self.found.append(path)
        if tag == "link" and given.get("rel") == "stylesheet" and (path := given.get("href")):
            self.found.append(path)
