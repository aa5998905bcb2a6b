"""Every route of the app: who may open it, that no other site can send it, and the headers of its answers."""

import re
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from httpx2 import Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.routing import Mount
from starlette.testclient import TestClient

from app import jobs
from app.candidates.actions import save_view
from app.curation import actions, leases
from app.main import DOMAINS
from app.snapshots.freezing import freeze
from app.tables import Event, Image, Import, Job, Prompt, Review, ReviewKind, Role, User, UserSession, WorkQueue
from app.web.deps import Allow
from tests.curation.test_decide import decision
from tests.duplicates.copying import make_group
from tests.evaluation.made import make_evaluation, make_set, make_wording
from tests.factories import make_candidate, make_classifier, make_encoder, make_endpoint, make_import, make_person
from tests.prompts.models import make_trial
from tests.training.made_runs import make_run
from tests.web.test_security_headers import EXPECTED, OTHER
from tests.web_client import SignIn


def method(route: APIRoute) -> str:
    (only,) = route.methods or set()
    return only


PUBLIC = {"sign_in", "sign_in_submit", "health"}
STATIC = {"/static", "/static/vendor/htmx.org", "/static/vendor/panzoom", "/static/vendor/uplot"}
# Hazel is an adjudicator, so a reviewer's routes are all hers.
PERSONAS = {"hazel": Role.REVIEWER, "fir": Role.RESEARCHER, "elm": Role.ADMIN}

ROUTES = [route for domain in DOMAINS for route in domain.router.routes if isinstance(route, APIRoute)]
DECLARED = [route for route in ROUTES if route.name not in PUBLIC]
UNSAFE = [route for route in ROUTES if method(route) != "GET"]

Ask = Callable[[TestClient, APIRoute], Response]


def by_name(route: APIRoute) -> str:
    return route.name


@pytest.fixture
def ask(session: Session) -> Ask:
    """Sends a route's own method to a path whose parameters name things that are there."""
    parameters = things(session)

    def ask(client: TestClient, route: APIRoute) -> Response:
        path = route.path_format
        for name, value in parameters.items():
            path = path.replace(f"{{{name}}}", str(value))
        assert "{" not in path
        return client.request(method(route), path)

    return ask


def things(session: Session) -> dict[str, object]:
    oak = make_person(session, "oak")
    accepted = make_candidate(session, with_blob=True)
    (lease,) = leases.hold(session, oak)
    review = actions.decide(session, oak, decision(lease, ReviewKind.ACCEPT))
    run = make_import(session)
    job = jobs.submit(session, "import", WorkQueue.CPU, {"import": run.id})
    run.job_id = job.id
    session.flush()
    return {
        "candidate_id": make_candidate(session, with_blob=True).id,
        "review_id": review.id,
        "user_id": oak.user_id,
        "import_id": run.id,
        "job_id": job.id,
        "sha256": session.scalar(select(Image.sha256).where(Image.id == accepted.image_id)),
        "stage": "domain",
        "prompt_id": session.scalar(select(Prompt.id)),
        "trial_id": make_trial(session),
        "encoder_id": make_encoder(session).id,
        "endpoint_id": make_endpoint(session).id,
        "classifier_id": make_classifier(session).id,
        "group_id": make_group(session),
        "run_id": make_run(session).id,
        "evaluation_id": make_evaluation(session, make_encoder(session), make_set(session)).id,
        "wording_id": make_wording(session).id,
        "set_id": make_set(session, "another").id,
        "item_id": 1,
        "number": freeze(session, None, None, 10, 10, "").number,
        "view_id": save_view(session, oak, "Flagged", "state=flagged").id,
        "name": "README.md",
    }


def roles_of(dependant: Dependant) -> list[frozenset[Role]]:
    declared = [dependant.call.roles] if isinstance(dependant.call, Allow) else []
    return declared + [roles for inner in dependant.dependencies for roles in roles_of(inner)]


def test_the_app_has_no_other_routes_than_those_tried_here(web_app: FastAPI) -> None:
    found = [context.original_route for context in iter_route_contexts(web_app.routes)]
    mounts = [route for route in found if isinstance(route, Mount)]
    assert {mount.path for mount in mounts} == STATIC
    assert [route for route in found if route not in mounts] == ROUTES


def test_the_public_routes_are_those_listed() -> None:
    assert {route.name for route in ROUTES if not roles_of(route.dependant)} == PUBLIC


@pytest.mark.parametrize("route", DECLARED, ids=by_name)
def test_a_route_declares_its_roles_once_and_an_admin_is_always_among_them(route: APIRoute) -> None:
    (roles,) = roles_of(route.dependant)
    assert Role.ADMIN in roles


@pytest.mark.parametrize("route", DECLARED, ids=by_name)
def test_a_stranger_is_sent_to_sign_in_and_can_change_nothing(route: APIRoute, ask: Ask, sign_in: SignIn) -> None:
    answer = ask(sign_in(""), route)
    if method(route) == "GET":
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in?next=%2F")
    else:
        assert answer.status_code == 401


@pytest.mark.parametrize("route", DECLARED, ids=by_name)
def test_a_route_is_open_to_its_roles_alone(route: APIRoute, ask: Ask, sign_in: SignIn) -> None:
    (roles,) = roles_of(route.dependant)
    answers = {role: ask(sign_in(persona), route).status_code for persona, role in PERSONAS.items()}
    assert {role for role, status in answers.items() if status != 403} == roles
    assert all(status < 500 and status != 401 for status in answers.values())


NUMBERED = [route for route in DECLARED if "_id}" in route.path_format or "{number}" in route.path_format]


@pytest.mark.parametrize("number", ["0", "-1", str(2**63), "9" * 400, "1.5", "\N{SUPERSCRIPT TWO}", "%00"])
@pytest.mark.parametrize("route", NUMBERED, ids=by_name)
def test_a_number_that_no_row_can_have_is_not_found(route: APIRoute, number: str, sign_in: SignIn) -> None:
    path = re.sub(r"\{(\w+_id|number)\}", number, route.path_format).replace("{name:path}", "x").replace("{name}", "x")
    answer = sign_in("elm").request(method(route), path)
    assert answer.status_code == 404


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_routes_need_no_one_signed_in(name: str, ask: Ask, sign_in: SignIn) -> None:
    (route,) = (route for route in ROUTES if route.name == name)
    assert ask(sign_in(""), route).status_code in (200, 422)


@pytest.mark.parametrize("path", ["mark.svg", "css/app.css", "vendor/htmx.org/htmx.min.js"])
def test_static_files_need_no_one_signed_in(path: str, sign_in: SignIn) -> None:
    assert sign_in("").get(f"/static/{path}").status_code == 200


# Another origin, another site, another host, and nothing that says where it comes from but a cookie.
FROM_ELSEWHERE: tuple[tuple[dict[str, str], int], ...] = (
    ({"sec-fetch-site": "same-origin", "origin": "http://evil.example"}, 403),
    ({"sec-fetch-site": "cross-site"}, 403),
    ({"sec-fetch-site": "same-origin", "host": "evil.example"}, 400),
    ({}, 403),
)


@pytest.mark.parametrize("route", UNSAFE, ids=by_name)
def test_a_request_from_elsewhere_changes_nothing(route: APIRoute, ask: Ask, sign_in: SignIn, session: Session) -> None:
    elm = sign_in("elm")
    browser = dict(elm.headers)
    del browser["sec-fetch-site"]
    before = counts(session)
    for headers, status in FROM_ELSEWHERE:
        elm.headers = browser | headers
        answer = ask(elm, route)
        assert answer.status_code == status
        assert ("did not come from a page of this site" if status == 403 else "not served here") in answer.text
    assert counts(session) == before


def counts(session: Session) -> list[int | None]:
    tables = (User, UserSession, Review, Job, Import, Event)
    return [session.scalar(select(func.count()).select_from(table)) for table in tables]


@pytest.mark.parametrize("route", ROUTES, ids=by_name)
def test_an_answer_has_exactly_the_security_headers(route: APIRoute, ask: Ask, sign_in: SignIn) -> None:
    for persona in ("", "elm"):
        headers = ask(sign_in(persona), route).headers
        passed = OTHER | {"set-cookie", "content-disposition"}
        assert {name: value for name, value in headers.items() if name not in passed} == EXPECTED
        assert "public" not in headers["cache-control"]
        if headers.get("content-type", "").startswith("text/html"):
            assert headers["cache-control"] == "no-store"
