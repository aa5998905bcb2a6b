"""When a post was made: UTC, or unknown; never now."""

from datetime import UTC, datetime

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
SHORTEST_EPOCH = 9  # digits of epoch seconds since 1973; fewer are a year or a day


def from_epoch(value: object) -> datetime | None:
    """Epoch seconds, milliseconds or microseconds as a time; None for what is no number or no post's time."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    scale = 1e6 if value > 1e14 else 1e3 if value > 1e11 else 1
    try:
        return _believable(datetime.fromtimestamp(value / scale, UTC))
    except (ValueError, OverflowError, OSError):
        return None


def from_text(text: str) -> datetime | None:
    """ISO 8601 (without a zone: UTC) or epoch digits as a time; None for anything else."""
    if text.isascii() and text.isdecimal() and len(text) >= SHORTEST_EPOCH:
        return from_epoch(float(text))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _believable(at if at.tzinfo else at.replace(tzinfo=UTC))


def _believable(at: datetime) -> datetime | None:
    return at if EARLIEST <= at < LATEST else None
