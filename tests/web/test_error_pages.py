import re

import pytest
import structlog
from markupsafe import escape
from structlog.testing import capture_logs

from app.errors import (
    AppError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    NotSignedIn,
    Stale,
    TooLarge,
    TooMany,
    Unavailable,
)
from tests.web.site import BROWSER, HTMX, Site, database_gone, http_error


@pytest.fixture(autouse=True)
def unused_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    """A logger keeps the settings of its first use; where that lies before these tests, nothing of it is captured."""
    monkeypatch.setattr("app.web.error_pages.log", structlog.get_logger())


ERRORS = [
    NotFound("There is no candidate C-9."),
    Forbidden("This page is for admins.", "Ask one."),
    Conflict("The import runs."),
    Stale("Birch was quicker.", "Both texts are here."),
    Invalid("The name is taken.", fields={"name": "Taken."}),
    TooLarge("Too much."),
    TooMany("Slow down."),
    Unavailable("No room on the disk.", "Make room."),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_browser_gets_a_whole_page_that_says_what_happened(site: Site, error: AppError) -> None:
    site.fail_with(error)
    answer = site.client(**BROWSER).get("/")
    assert answer.status_code == error.status
    assert answer.text.startswith("<!doctype html>")
    assert f"<h1>{escape(error.title)}</h1>" in answer.text
    assert error.message in answer.text
    assert error.what_next in answer.text
    assert f"Error {error.status}" in answer.text


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_htmx_gets_the_true_status_and_only_an_out_of_band_note(site: Site, error: AppError) -> None:
    site.fail_with(error)
    answer = site.client(**HTMX).get("/")
    assert answer.status_code == error.status
    assert answer.text.strip().startswith('<div id="flash" hx-swap-oob="beforeend">')
    assert "<html" not in answer.text
    assert error.message in answer.text


def test_the_api_gets_json_with_the_fields(site: Site) -> None:
    site.fail_with(Invalid("The name is taken.", "Choose another.", fields={"name": "Taken."}))
    answer = site.client(**BROWSER).get("/api/things")
    assert answer.status_code == 422
    assert answer.json() == {
        "error": {
            "status": 422,
            "title": "Some of this can't be taken",
            "message": "The name is taken.",
            "what_next": "Choose another.",
            "fields": {"name": "Taken."},
        }
    }


def test_an_invalid_page_names_the_fields(site: Site) -> None:
    site.fail_with(Invalid("Look again.", fields={"name": "Taken."}))
    assert "<b>name</b> Taken." in site.client(**BROWSER).get("/").text


def test_text_in_an_error_is_escaped(site: Site) -> None:
    site.fail_with(NotFound("<script>alert(1)</script>"))
    for headers in (BROWSER, HTMX):
        assert "<script>alert" not in site.client(**headers).get("/").text


def test_without_a_session_a_page_leads_to_sign_in_and_back(site: Site) -> None:
    site.fail_with(NotSignedIn("Sign in."))
    answer = site.client(**BROWSER).get("/imports/3?size=2&word=a b")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Fimports%2F3%3Fsize%3D2%26word%3Da%2520b"


def test_without_a_session_a_post_says_so_with_a_way_to_sign_in(site: Site) -> None:
    site.actor = None
    site.fail_with(NotSignedIn("Your session is over."))
    answer = site.client(**BROWSER).post("/act")
    assert answer.status_code == 401
    assert 'href="/sign-in"' in answer.text
    part = site.client(**HTMX).post("/act")
    assert part.status_code == 401
    assert 'href="/sign-in" target="_blank"' in part.text
    assert site.client(**BROWSER).get("/api/things").status_code == 401


def test_an_unforeseen_error_shows_a_number_that_the_log_has_and_no_detail(site: Site) -> None:
    site.fail_with(RuntimeError("secret"))
    for path, headers in (("/", BROWSER), ("/", HTMX), ("/api/things", BROWSER)):
        with capture_logs() as logs:
            answer = site.client(**headers).get(path)
        assert answer.status_code == 500
        number = re.search(r"e-[0-9a-f]{6}", answer.text)
        assert number
        assert [line["number"] for line in logs] == [number[0]]
        assert str(logs[0]["exc_info"]) == "secret"
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text


def test_a_lost_database_is_503_and_the_page_asks_for_no_counts(site: Site) -> None:
    def counts(_request: object) -> dict[str, int]:
        raise database_gone()

    site.app.state.counts = counts
    site.fail_with(database_gone())
    with capture_logs() as logs:
        answer = site.client(**BROWSER).get("/")
    assert answer.status_code == 503
    assert "The database does not answer. Nothing was changed." in answer.text
    assert "secret" not in answer.text
    assert len(logs) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 418, 429, 503])
def test_an_http_error_keeps_status_and_headers_but_not_its_detail(site: Site, status: int) -> None:
    site.fail_with(http_error(status))
    answer = site.client(**BROWSER).get("/api/things")
    assert answer.status_code == status
    assert answer.headers["x-mine"] == "1"
    assert "secret" not in answer.text


def test_an_unknown_path_and_a_wrong_method_are_pages(site: Site) -> None:
    unknown = site.client(**BROWSER).get("/nothing-here")
    assert unknown.status_code == 404
    assert "<h1>Not here</h1>" in unknown.text
    wrong = site.client(**BROWSER).post("/review")
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "GET"
    assert "<h1>Not done</h1>" in wrong.text


def test_a_path_that_is_no_number_is_not_found_and_a_bad_query_is_invalid(site: Site) -> None:
    client = site.client(**BROWSER)
    assert client.get("/things/abc").status_code == 404
    bad = client.get("/things/1?size=abc")
    assert bad.status_code == 422
    assert "<h1>" in bad.text
    missing = client.post("/form", data={})
    assert missing.status_code == 422
    assert missing.headers["content-type"].startswith("text/html")


def test_the_first_button_is_the_next_step(site: Site) -> None:
    site.fail_with(Unavailable("Gone."))
    answer = site.client(**BROWSER).get("/imports/3?a=1")
    assert '<a class="btn btn-primary" href="/imports/3?a=1">Try again</a>' in answer.text
    site.fail_with(NotFound("Gone."))
    assert '<a class="btn btn-primary" href="/">Home</a>' in site.client(**BROWSER).get("/imports/3").text
