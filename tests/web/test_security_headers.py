import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app.web.csp import SecurityHeaders
from tests.web.site import Site

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
)
EXPECTED = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
OTHER = {
    "content-length",
    "content-type",
    "vary",
    "cache-control",
    "location",
    "etag",
    "last-modified",
    "accept-ranges",
}


def broken(site: Site) -> None:
    site.fail_with(RuntimeError("secret"))


@pytest.mark.parametrize("path", ["/", "/nothing-here", "/sign-in", "/api/things", "/things/x", "/static/mark.svg"])
def test_every_answer_has_exactly_these_headers(site: Site, path: str) -> None:
    headers = dict(site.client().get(path).headers)
    assert {name: value for name, value in headers.items() if name not in OTHER} == EXPECTED


def test_answers_that_refuse_or_break_have_them_too(site: Site) -> None:
    client = site.client()
    refused = client.post("/act", headers={"origin": "http://evil.example"})
    foreign = client.get("/", headers={"host": "evil.example"})
    too_long = client.post("/read", content=b"x" * 2000)
    broken(site)
    for answer, status in ((refused, 403), (foreign, 400), (too_long, 413), (client.get("/"), 500)):
        assert answer.status_code == status
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["cache-control"] == "no-store"


def test_pages_are_never_kept_files_are_checked_and_a_route_may_choose(site: Site) -> None:
    client = site.client()
    assert client.get("/").headers["cache-control"] == "no-store"
    assert client.get("/static/mark.svg").headers["cache-control"] == "no-cache"
    assert client.get("/picture").headers["cache-control"] == "private, max-age=60"


@pytest.mark.parametrize(("https", "present"), [(True, True), (False, False)])
def test_only_tls_promises_tls(https: bool, present: bool) -> None:
    answer = TestClient(SecurityHeaders(Starlette(), https=https)).get("/")
    assert ("strict-transport-security" in answer.headers) is present
