"""What a wording asks a model, and what one version changes of another. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.tables import ClassPrompts


@dataclass(frozen=True)
class Change:
    """What differs at one place of a wording: a class key, or "templates"."""

    place: str
    removed: list[str]
    added: list[str]


def changes(before: ClassPrompts, after: ClassPrompts) -> list[Change]:
    """Place by place; nothing of what stayed."""
    keys = dict.fromkeys([*before.names, *after.names])
    places = [(key, before.names.get(key, []), after.names.get(key, [])) for key in keys]
    places.append(("templates", before.templates, after.templates))
    return [Change(place, _without(old, new), _without(new, old)) for place, old, new in places if old != new]


def _without(some: Sequence[str], others: Sequence[str]) -> list[str]:
    """What only the first has; where only the order changed, all of it."""
    left = [one for one in some if one not in others]
    return left or (list(some) if sorted(some) == sorted(others) else [])


def prompts(row: ClassPrompts) -> list[tuple[str, str]]:
    """(Class key, the text that a model reads) of every name and template."""
    return [
        (key, template.replace("{}", name))
        for key, names in row.names.items()
        for name in names
        for template in row.templates
    ]
