from __future__ import annotations

import numpy as np
import pytest

from tests.unit.training.rows import rows
from training.examples import Examples, TrainingRefused, Window


def test_a_window_has_its_first_day_and_not_its_last() -> None:
    window = Window.parsed("2013-01-02:2013-01-04")
    found = rows(24 * 10).within(window)
    assert len(found) == 48
    assert found.at[0] == np.datetime64("2013-01-02T00:00:00")
    assert found.at[-1] == np.datetime64("2013-01-03T23:00:00")


@pytest.mark.parametrize("text", ["", "2013", "2013-01-01", "2013-13-01:2013-02-01", "a:b", "2013-01-01:2013-02-01:x"])
def test_a_window_that_is_not_two_dates_is_refused_by_name(text: str) -> None:
    with pytest.raises(TrainingRefused, match="two dates"):
        Window.parsed(text)


@pytest.mark.parametrize("text", ["2013-02-01:2013-01-01", "2013-01-01:2013-01-01"])
def test_a_window_that_ends_before_it_starts_is_refused(text: str) -> None:
    with pytest.raises(TrainingRefused, match="empty"):
        Window.parsed(text)


def test_the_window_of_rows_holds_them_all() -> None:
    examples = rows(30)
    assert len(examples.within(examples.window)) == 30


def test_no_rows_have_no_window() -> None:
    with pytest.raises(TrainingRefused, match="no rows"):
        _ = rows(0).window


def test_merged_rows_are_in_order_of_time_and_keep_their_columns_together() -> None:
    one, other = rows(20, start="2013-01-02"), rows(30, seed=2, start="2013-01-01")
    merged = Examples.merged([one, other])
    assert len(merged) == 50
    assert (np.diff(merged.at.astype(np.int64)) >= 0).all()
    pairs = set(zip(merged.features["hour"], merged.label, strict=True))
    assert pairs == {pair for part in (one, other) for pair in zip(part.features["hour"], part.label, strict=True)}
