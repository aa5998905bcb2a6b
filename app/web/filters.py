"""Figures, sizes and times as a page shows them. A space before a unit never breaks."""

from datetime import UTC, date, datetime, timedelta
from typing import Protocol

NOTHING = "–"
SPACE = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"

MINUTE, HOUR, DAY = 60, 3600, 86_400
NEAR_DAYS = 30


def thousands(count: float | None) -> str:
    """12345 → 12,345."""
    return NOTHING if count is None else f"{count:,}".replace("-", MINUS)


def millions(count: int) -> str:
    """Parameters of a network: 151277313 → 151 M; a dash where they are not known."""
    digits = 0 if count >= 9.95e6 else 1
    return f"{count / 1e6:.{digits}f}{SPACE}M" if count else NOTHING


def percent(share: float | None, digits: int = 0) -> str:
    """A share of one as a percentage: 0.251 → 25 %."""
    return NOTHING if share is None else f"{100 * share:.{digits}f}{SPACE}%".replace("-", MINUS)


def bytes_size(size: float | None) -> str:
    """Bytes in decimal units: 96000 → 96 kB, 1.9e9 → 1.9 GB."""
    if size is None:
        return NOTHING
    units = ["B", "kB", "MB", "GB", "TB"]
    power = 0
    while size >= 999.5 and power < len(units) - 1:
        size, power = size / 1000, power + 1
    digits = 1 if power >= 3 and size < 99.5 else 0
    return f"{size:.{digits}f}".removesuffix(".0") + f"{SPACE}{units[power]}"


def duration(length: float | timedelta | None) -> str:
    """Seconds or a timedelta: 6.1 s, 41 s, 11 min, 2 h 5 min, 3 days."""
    if length is None:
        return NOTHING
    seconds = length.total_seconds() if isinstance(length, timedelta) else float(length)
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + f"{SPACE}s"
    if round(seconds) < MINUTE:
        return f"{seconds:.0f}{SPACE}s"
    minutes = round(seconds / MINUTE)
    if minutes < 60:
        return f"{minutes}{SPACE}min"
    if minutes < 24 * 60:
        hours, rest = divmod(minutes, 60)
        return f"{hours}{SPACE}h" + (f" {rest}{SPACE}min" if rest else "")
    return _days(seconds)


def _days(seconds: float) -> str:
    days = round(seconds / DAY)
    return f"{days}{SPACE}day" + ("s" if days != 1 else "")


def day(at: date | datetime | None) -> str:
    """2 Mar 2024."""
    return NOTHING if at is None else f"{at.day} {at:%b %Y}"


def full_time(at: datetime) -> str:
    """2 Mar 2024, 14:02 UTC."""
    at = at.astimezone(UTC)
    return f"{day(at)}, {at:%H:%M} UTC"


def near_words(at: datetime, now: datetime | None = None) -> str:
    """How long ago, or in how long; beyond a month the day."""
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    length = abs(seconds)
    if length < 45:
        return "now"
    if length >= NEAR_DAYS * DAY:
        return day(at)
    if DAY <= seconds < 2 * DAY:
        return "yesterday"
    return f"{_about(length)} ago" if seconds > 0 else f"in {_about(length)}"


def _about(seconds: float) -> str:
    if seconds < HOUR:
        return f"{max(1, int(seconds // MINUTE))}{SPACE}min"
    if seconds < DAY:
        return f"{int(seconds // HOUR)}{SPACE}h"
    return _days(seconds // DAY * DAY)


def candidate_id(number: int) -> str:
    return f"C-{number}"


class Timed(Protocol):
    """Work with a beginning, a last sign of life, and a count."""

    @property
    def done(self) -> int: ...
    @property
    def started_at(self) -> datetime | None: ...
    @property
    def heartbeat(self) -> datetime | None: ...


def rate(job: Timed) -> float | None:
    """Units done a second since the start; None while there is nothing to tell."""
    if job.started_at is None or job.heartbeat is None or not job.done:
        return None
    seconds = (job.heartbeat - job.started_at).total_seconds()
    return job.done / seconds if seconds > 0 else None


def a_second(speed: float) -> str:
    """A rate in whole figures where it is fast, with one decimal where it is slow."""
    if speed >= 20:
        return f"{thousands(round(speed))} a second"
    if speed >= 0.95:
        return f"{speed:.1f} a second"
    return f"{60 * speed:.1f} a minute"
