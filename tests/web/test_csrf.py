import pytest
from starlette.datastructures import Headers

from app.web.csrf import host_name, is_same_origin
from tests.web.site import Site

COOKIE = {"cookie": "session=abc"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "QUERY"])
def test_an_unsafe_request_from_another_site_is_refused_and_nothing_happens(site: Site, method: str) -> None:
    answer = site.client().request(method, "/act", headers=COOKIE | {"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403
    assert site.writes == 0


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": ""}, False),
        ({"origin": "http://localhost"}, True),
        ({"origin": "https://LOCALHOST"}, True),
        ({"origin": "http://localhost:8000"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://localhost.evil.example"}, False),
        ({"origin": "http://evil.example/localhost"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"sec-fetch-site": "same-origin", "origin": "http://evil.example"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "http://localhost"}, False),
        ({"sec-fetch-site": "same-origin", "origin": "http://localhost"}, True),
        (COOKIE, False),
        (COOKIE | {"content-type": "application/x-www-form-urlencoded"}, False),
        ({}, True),
        ({"authorization": "Bearer token"}, True),
    ],
)
def test_the_browser_says_where_a_request_comes_from(headers: dict[str, str], passes: bool) -> None:
    assert is_same_origin(Headers(headers | {"host": "localhost"})) is passes


def test_a_request_of_our_own_page_passes(site: Site) -> None:
    headers = COOKIE | {"sec-fetch-site": "same-origin", "origin": "http://localhost"}
    assert site.client().post("/act", headers=headers).status_code == 303
    assert site.writes == 1


def test_reading_is_open_to_links_from_other_sites(site: Site) -> None:
    assert site.client().get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", ""])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_foreign_host_is_refused(site: Site, host: str, method: str) -> None:
    answer = site.client().request(method, "/", headers={"host": host})
    assert answer.status_code == 400
    assert host == "" or host not in answer.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]", "[::1]:8000"])
def test_our_own_hosts_are_served_at_any_port(site: Site, host: str) -> None:
    assert site.client().get("/", headers={"host": host}).status_code == 200


def test_the_health_check_is_answered_under_any_host(site: Site) -> None:
    assert site.client().get("/health", headers={"host": "10.0.0.7:8000"}).status_code == 404  # this site has none


@pytest.mark.parametrize(
    ("header", "name"),
    [("a.example:80", "a.example"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("A.Example", "a.example")],
)
def test_the_host_name_leaves_the_port_out(header: str, name: str) -> None:
    assert host_name(header) == name
