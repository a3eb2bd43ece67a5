"""Times and lengths in words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from contentops.reporting import spend

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("at", "day", "moment", "age"),
    [
        ("2026-11-29T06:44:00Z", "today", "today at 06:44", "since today"),
        ("2026-11-12T10:14:00Z", "on 12 November", "12 November at 10:14", "17 days"),
        ("2025-01-02T00:00:00+00:00", "on 2 January 2025", "2 January 2025 at 00:00", "696 days"),
        ("2027-01-01T00:00:00Z", "on 1 January 2027", "1 January 2027 at 00:00", "since today"),
        ("never\u202e", "on never\\u202e", "never\\u202e", "since today"),
        ("", "on ", "", "since today"),
        ("0001-01-01T00:00:00+23:59", "on 0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00+23:59", "since today"),
    ],
)
def test_times_in_words(at: str, day: str, moment: str, age: str) -> None:
    """Of this year, of another, in the future; and what is no time."""
    assert (spend.on_day(at, NOW), spend.day_and_time(at, NOW), spend.age(at, NOW)) == (day, moment, age)
