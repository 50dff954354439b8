"""Numbers and instants as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from deployer.console import plain_words

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "–"), (0.004, "0.00 s"), (0.42, "0.42 s"), (12.4, "12 s"), (59.4, "59 s"), (185, "3 min 5 s"),
        (7440, "2 h 4 min"), (273_600, "3 d 4 h"),
    ],
)  # fmt: skip
def test_a_duration_has_the_unit_that_fits(seconds: float | None, expected: str):
    assert plain_words.seconds_text(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(-3, "just now"), (0.5, "just now"), (4, "4.00 s ago"), (90, "1 min 30 s ago")]
)
def test_an_age_is_never_negative(seconds: float, expected: str):
    assert plain_words.ago(NOW - timedelta(seconds=seconds), NOW) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(None, "–"), (0.00001234, "1.234e-05"), (60.0, "60"), (0.43128, "0.4313")]
)
def test_a_number_has_the_digits_that_matter(value: float | None, expected: str):
    assert plain_words.amount(value) == expected


def test_bytes_are_megabytes():
    assert plain_words.megabytes(105_000_000) == "105.0 MB"
    assert plain_words.megabytes(None) == "–"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("nodes", ["node-1", "node-2"], "node-1, node-2"),
        ("nodes", [], "–"),
        ("data_window", ["2013-01-01T00:00:00+00:00", "2013-07-01T00:00:00+00:00"], "2013-01-01 to 2013-07-01"),
        ("flipped_at", "2026-11-22T10:51:54.717971+00:00", "2026-11-22 10:51:54 UTC"),
        ("code_version", "RT-7", "RT-7"),
        ("auc", 0.699106, "0.6991"),
        ("rows", 465, "465"),
    ],
)
def test_a_fact_is_told_shortly(name: str, value: object, expected: str):
    """Two nodes read as a range, and instants had their microseconds."""
    assert plain_words.fact_text(name, value) == expected
