"""The side navigation: which entries a person sees, where they lead, and how much waits there."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.routing import NoMatchFound

from app.accounts.policies import Actor


@dataclass(frozen=True)
class Entry:
    route: str
    label: str
    icon: str
    allowed: Callable[[Actor], bool]


@dataclass(frozen=True)
class Link:
    """An entry as one page shows it."""

    label: str
    icon: str
    url: str
    current: bool
    count: int | None


def everyone(_actor: Actor) -> bool:
    return True


def reviews(actor: Actor) -> bool:
    return actor.reviews


def adjudicates(actor: Actor) -> bool:
    return actor.adjudicates


def reads_data(actor: Actor) -> bool:
    return actor.reads_data


def is_admin(actor: Actor) -> bool:
    return actor.is_admin


GROUPS: Mapping[str, Iterable[Entry]] = {
    "Work": (
        Entry("home", "Home", "home", everyone),
        Entry("review", "Review", "eye", reviews),
        Entry("adjudicate", "Adjudicate", "scales", adjudicates),
        Entry("candidates", "Candidates", "search", reviews),
    ),
    "Intake": (
        Entry("imports", "Imports", "upload", is_admin),
        Entry("prefilter", "Pre-filter", "filter", is_admin),
        Entry("duplicates", "Duplicates", "copies", is_admin),
    ),
    "Data": (
        Entry("snapshots", "Snapshots", "box", reads_data),
        Entry("runs", "Training", "chart", is_admin),
        Entry("models", "Models", "layers", reads_data),
        Entry("evaluation", "Evaluation", "table", reads_data),
    ),
    "House": (
        Entry("people", "People", "people", is_admin),
        Entry("activity", "Activity", "clock", is_admin),
        Entry("system", "System", "pulse", is_admin),
    ),
}


def navigation(request: Request, actor: Actor | None) -> dict[str, list[Link]]:
    """Links by group: what this person may open and this app has. Nobody sees none."""
    if actor is None:
        return {}
    counts = _counts(request)
    made = {
        group: [
            Link(entry.label, entry.icon, url, _is_current(request, url), counts.get(entry.route))
            for entry in entries
            if entry.allowed(actor) and (url := path_of(request, entry.route))
        ]
        for group, entries in GROUPS.items()
    }
    return {group: links for group, links in made.items() if links}


def path_of(request: Request, route: str) -> str | None:
    """The path of a route without parameters, or None where the app has no such route."""
    try:
        return request.url_for(route).path
    except NoMatchFound:
        return None


def _is_current(request: Request, url: str) -> bool:
    path = request.url.path
    return path == url or (url != "/" and path.startswith(f"{url}/"))


def _counts(request: Request) -> Mapping[str, int]:
    """What waits behind a route, by its name; the app may set `state.counts`, a request may replace it."""
    found = getattr(request.state, "counts", None) or getattr(request.app.state, "counts", None)
    return found(request) if found else {}
