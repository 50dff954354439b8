"""The list of benchmarks, and what is computed rather than measured."""

from __future__ import annotations

import pytest

from bench.figures import percentile
from bench.polled import Polled, expected
from bench.programs import DEFAULT, PROGRAMS, chosen


def test_programs_are_chosen_by_any_of_their_names_and_run_once() -> None:
    assert [program.names for program in chosen(["B2", "B1"])] == [("B1", "B2")]
    assert {name for program in chosen(DEFAULT) for name in program.names} == set(DEFAULT)


def test_an_unknown_program_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match=r"no benchmark is called 'B77'; there are B1, B2, B9, B10, B8"):
        chosen(["B1", "B77"])


def test_no_two_programs_share_a_name() -> None:
    names = [name for program in PROGRAMS for name in program.names]
    assert len(names) == len(set(names))


def test_a_longer_poll_is_expected_to_wait_three_quarters_of_it_and_what_a_load_took_beside() -> None:
    measured = [Polled(total=1.75, skew=0.1)] * 3
    found = expected(measured, measured_poll=1, poll=60)
    # The slowest of three uniform waits is at three quarters on average; a load took 1.75 - 0.75 = 1 s.
    mean = sum(one.total for one in found) / len(found)
    assert mean == pytest.approx(45 + 1, abs=0.5)
    # The median of the range of three uniform draws is half of the interval.
    assert percentile([one.skew for one in found], 50) == pytest.approx(30, abs=1)
