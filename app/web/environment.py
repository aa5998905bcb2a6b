"""The one Jinja environment: undefined names fail, every value is escaped.

The macros of `templates/macros/` are names that every template knows: a template's own imports would be
missing where one of its blocks is rendered alone.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context, Macro
from starlette.applications import Starlette
from starlette.datastructures import URL

from app.web import filters

TEMPLATES = Path(__file__).parents[2] / "templates"


@pass_context
def url_for(context: Context, name: str, /, **parameters: Any) -> URL:
    """The path of a route by its name, without scheme and host: right behind any proxy."""
    request = context["request"]
    pattern = _pattern(request.app, name, tuple(parameters))
    return URL(request.scope.get("root_path", "") + pattern.format_map(parameters))


@lru_cache
def _pattern(app: Starlette, name: str, parameters: tuple[str, ...]) -> str:
    """A route's path with its parameters in braces.

    Finding a route tries one after another, which was half the time of a page with many links.
    """
    return app.url_path_for(name, **{parameter: f"{{{parameter}}}" for parameter in parameters})


def near_time(at: Any) -> Any:
    """A `<time>` that reads “12 min ago” and carries the full time; a dash for none."""
    return environment.get_template("macros/time.html").module.near_time(at)  # type: ignore[attr-defined]


def make_environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["url_for"] = url_for
    shown = (
        filters.thousands,
        filters.millions,
        filters.percent,
        filters.bytes_size,
        filters.duration,
        filters.day,
        filters.full_time,
        filters.near_words,
        filters.candidate_id,
        filters.rate,
        filters.a_second,
        near_time,
    )
    made.filters.update({function.__name__: function for function in shown})
    made.globals.update(macros(made))
    return made


def macros(environment: Environment) -> dict[str, Macro]:
    names = environment.list_templates(filter_func=lambda name: name.startswith("macros/"))
    modules = [vars(environment.get_template(name).module) for name in names]
    return {name: value for module in modules for name, value in module.items() if isinstance(value, Macro)}


environment = make_environment()
