"""Logs as one JSON object a line: no local variables, no secrets, no control characters."""

import re
from collections.abc import MutableMapping
from typing import Any

import structlog

SECRET_NAMES = re.compile(r"password|passwd|secret|token|authorization|cookie|api_?key|dsn", re.IGNORECASE)
URL_PASSWORD = re.compile(r"(\w+://[^:/@\s]*:)[^@/\s]+@")


def redact(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hides values under secret names, and passwords inside URLs."""
    for name, value in entry.items():
        if SECRET_NAMES.search(name):
            entry[name] = "(hidden)"
        elif isinstance(value, str):
            entry[name] = URL_PASSWORD.sub(r"\1(hidden)@", value)
    return entry


def configure() -> None:
    """Sets structlog up for this process. Tracebacks are plain: a local variable may hold a caption or a password."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(),
        ],
        cache_logger_on_first_use=True,
    )
