from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest

from app.web import filters
from app.web.environment import environment

NOW = datetime(2024, 3, 2, 14, 0, tzinfo=UTC)


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize(("count", "shown"), [(0, "0"), (12345, "12,345"), (-37, "−37"), (None, "–")])
def test_thousands(count: int | None, shown: str) -> None:
    assert filters.thousands(count) == shown


@pytest.mark.parametrize(
    ("share", "digits", "shown"),
    [(0.251, 0, "25 %"), (0.0032, 1, "0.3 %"), (1, 0, "100 %"), (-0.02, 0, "−2 %"), (None, 0, "–")],
)
def test_percent(share: float | None, digits: int, shown: str) -> None:
    assert plain(filters.percent(share, digits)) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (96_000, "96 kB"),
        (999_700, "1 MB"),
        (1_900_000_000, "1.9 GB"),
        (2_000_000_000, "2 GB"),
        (250_000_000_000, "250 GB"),
        (3_100_000_000_000_000, "3100 TB"),
        (None, "–"),
    ],
)
def test_bytes(size: float | None, shown: str) -> None:
    assert plain(filters.bytes_size(size)) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (6.12, "6.1 s"),
        (9.97, "10 s"),
        (41.4, "41 s"),
        (59.7, "1 min"),
        (660, "11 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86_390, "1 day"),
        (260_000, "3 days"),
        (timedelta(minutes=8), "8 min"),
        (None, "–"),
    ],
)
def test_duration(seconds: float | timedelta | None, shown: str) -> None:
    assert plain(filters.duration(seconds)) == shown


@pytest.mark.parametrize(
    ("ago", "shown"),
    [
        (timedelta(seconds=20), "now"),
        (timedelta(seconds=50), "1 min ago"),
        (timedelta(minutes=12, seconds=59), "12 min ago"),
        (timedelta(hours=23), "23 h ago"),
        (timedelta(hours=30), "yesterday"),
        (timedelta(days=6, hours=20), "6 days ago"),
        (timedelta(days=40), "22 Jan 2024"),
        (timedelta(minutes=-9), "in 9 min"),
        (timedelta(days=-1), "in 1 day"),
    ],
)
def test_near_times_in_words(ago: timedelta, shown: str) -> None:
    assert plain(filters.near_words(NOW - ago, NOW)) == shown


def test_a_near_time_carries_the_full_one() -> None:
    text = environment.from_string("{{ at|near_time }}").render(at=NOW)
    assert text.startswith('<time datetime="2024-03-02T14:00:00+00:00" title="2 Mar 2024, 14:00 UTC">')
    assert environment.from_string("{{ none|near_time }}").render() == "–"


def test_day_and_candidate_id() -> None:
    assert filters.day(date(2024, 3, 2)) == filters.day(NOW) == "2 Mar 2024"
    assert filters.day(None) == "–"
    assert filters.candidate_id(20418) == "C-20418"


@dataclass
class Work:
    done: int
    started_at: datetime | None
    heartbeat: datetime | None


@pytest.mark.parametrize(
    ("work", "speed"),
    [
        (Work(7440, NOW, NOW + timedelta(seconds=24)), 310),
        (Work(0, NOW, NOW + timedelta(seconds=24)), None),
        (Work(5, NOW, NOW), None),
        (Work(5, None, None), None),
    ],
)
def test_the_rate_is_what_was_done_since_the_start(work: Work, speed: float | None) -> None:
    assert filters.rate(work) == speed


@pytest.mark.parametrize(
    ("speed", "shown"), [(310.2, "310 a second"), (18.42, "18.4 a second"), (0.15, "9.0 a minute")]
)
def test_a_rate_is_read_in_the_unit_that_fits(speed: float, shown: str) -> None:
    assert filters.a_second(speed) == shown
