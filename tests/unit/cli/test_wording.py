"""What commands print is whole, says the day, and counts rightly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from roost import settings
from roost.cli import dead_letters, inspect
from roost.cli.wording import clock_time, counted


def test_every_setting_is_printed_with_its_whole_name_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    """At 80 columns long names ended in an ellipsis: nobody could look for them, or set them."""
    inspect.show_settings()
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert all(row.variable in printed for row in settings.described())


def test_a_time_of_another_day_names_the_day() -> None:
    """`roost events` in the morning showed last night's as if they were to come."""
    now = datetime(2026, 3, 2, 12, tzinfo=UTC).astimezone()
    assert clock_time(now - timedelta(seconds=1), now) == f"{now - timedelta(seconds=1):%H:%M:%S}"
    assert clock_time(now - timedelta(days=1), now) == f"{now - timedelta(days=1):%Y-%m-%d %H:%M:%S}"


@pytest.mark.parametrize(("number", "said"), [(0, "0 events"), (1, "1 event"), (2, "2 events")])
def test_one_is_one(number: int, said: str) -> None:
    assert counted(number, "event") == said


def test_a_letter_that_somebody_else_buried_keeps_its_own_word_for_when() -> None:
    assert dead_letters._when("yesterday") == "yesterday"
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert dead_letters._when(at.isoformat()) == f"{at.astimezone():%Y-%m-%d %H:%M:%S}"
