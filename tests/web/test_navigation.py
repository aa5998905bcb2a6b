import re

import pytest
from starlette.requests import Request

from app.accounts.policies import Actor
from app.tables.account import Role
from app.web.navigation import GROUPS
from tests.web.site import BROWSER, Site


def labels(site: Site, path: str = "/") -> list[str]:
    nav = site.client(**BROWSER).get(path).text.partition('<nav class="side"')[2].partition("</nav>")[0]
    return re.findall(r"</svg>([A-Z][a-z-]+)(?:<span|</a>)", nav)


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        (Role.REVIEWER, {"Home", "Review", "Candidates"}),
        (Role.RESEARCHER, {"Home", "Snapshots", "Models", "Evaluation"}),
        (
            Role.ADMIN,
            {
                "Home",
                "Review",
                "Adjudicate",
                "Candidates",
                "Imports",
                "Pre-filter",
                "Duplicates",
                "Snapshots",
                "Training",
                "Models",
                "Evaluation",
                "People",
                "Activity",
                "System",
            },
        ),
    ],
)
def test_each_role_is_allowed_its_own_entries(role: Role, expected: set[str]) -> None:
    actor = Actor(1, "someone", role)
    entries = [entry for group in GROUPS.values() for entry in group]
    assert {entry.label for entry in entries if entry.allowed(actor)} == expected


def test_entries_without_a_route_are_left_out(site: Site) -> None:
    assert labels(site) == ["Home", "Review", "Imports"]


def test_a_stranger_sees_no_entry_and_no_sign_out(site: Site) -> None:
    site.actor = None
    assert labels(site) == []
    assert 'class="who"' not in site.client(**BROWSER).get("/").text


def test_the_entry_of_the_open_page_is_marked(site: Site) -> None:
    text = site.client(**BROWSER).get("/imports/3").text
    assert re.findall(r'href="([^"]+)" aria-current="page"', text) == ["/imports"]


def test_counts_stand_beside_their_entry(site: Site) -> None:
    site.app.state.counts = lambda request: {"review": 17505}
    assert '<span class="num">17,505</span>' in site.client(**BROWSER).get("/").text


def test_a_swapped_block_pays_for_no_counts(site: Site) -> None:
    asked: list[Request] = []

    def counts(request: Request) -> dict[str, int]:
        asked.append(request)
        return {}

    site.app.state.counts = counts
    site.client(**BROWSER | {"HX-Request": "true"}).get("/")
    assert asked == []


def test_the_name_and_role_stand_below(site: Site) -> None:
    site.actor = Actor(2, "hazel", Role.REVIEWER, adjudicator=True)
    text = site.client(**BROWSER).get("/").text
    assert "<b>Hazel</b>Reviewer, adjudicator" in text
