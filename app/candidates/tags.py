"""The filters that are on, in words, each with the list without it."""

from collections.abc import Mapping
from typing import Any

from app.candidates.forms import By, ListForm
from app.candidates.policies import OPEN
from app.curation.vocabulary import FIELDS
from app.prefilter.funnel import reason_words
from app.prefilter.privacy import TITLES, PrivateKind
from app.prefilter.stages import BY_NAME

Tag = tuple[str, str]
Change = dict[str, Any]


def tags(wanted: ListForm, sources: Mapping[int, str]) -> list[Tag]:
    """(words, query without it) of each filter that narrows the list."""
    on = [*_states(wanted), *_fields(wanted), *_narrowed(wanted, sources)]
    return [(words, "?" + wanted.query(before=None, after=0, **change)) for words, change in on]


def _states(wanted: ListForm) -> list[tuple[str, Change]]:
    return [
        (state_word(state), {"state": [other for other in wanted.state if other != state]}) for state in wanted.state
    ]


def _fields(wanted: ListForm) -> list[tuple[str, Change]]:
    return [
        (FIELDS[name][value], {name: [other for other in values if other != value]})
        for name, values in (("organ", wanted.organ), ("stain", wanted.stain))
        for value in values
    ]


def _narrowed(wanted: ListForm, sources: Mapping[int, str]) -> list[tuple[str, Change]]:
    more: list[tuple[str, Change]] = []
    if wanted.source:
        more.append((sources.get(wanted.source, f"Source {wanted.source}"), {"source": None}))
    if wanted.import_id:
        more.append((f"Import {wanted.import_id}", {"import_id": None}))
    if wanted.by is By.IMAGE and wanted.like:
        more.append((f"Like C-{wanted.like}", {"like": None}))
    if wanted.by is By.IMAGE and wanted.picture and not wanted.like:
        more.append(("Like your picture", {"picture": ""}))
    if wanted.post:
        more.append(("One post", {"post": None}))
    if wanted.stopped:
        more.append((f"Stopped by {BY_NAME[wanted.stopped].title}", {"stopped": ""}))
    if wanted.reason:
        more.append((reason_words(wanted.stopped, wanted.reason).capitalize(), {"reason": ""}))
    if wanted.found:
        stage, _, kind = wanted.found.partition(".")
        place = "caption" if stage == "private" else "picture"
        more.append((f"{TITLES[PrivateKind(kind)]} in the {place}", {"found": ""}))
    if wanted.stage and (wanted.low is not None or wanted.high is not None):
        low = "" if wanted.low is None else f"{wanted.low:g}"
        high = "" if wanted.high is None else f"{wanted.high:g}"
        words = f"{BY_NAME[wanted.stage].title} {low or 'any'} to {high or 'any'}"
        more.append((words, {"stage": "", "low": None, "high": None}))
    return more


def state_word(state: str) -> str:
    return "Open to you" if state == OPEN else state.replace("_", " ").capitalize()
