"""The pieces of a rollout's way: they add up, and work that nobody is spared is nobody's share."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.way import STEPS, Way

WAY = Way(
    published=100.0,
    received=100.1,
    stored=100.4,
    vetted=100.5,
    canary=100.55,
    promoting=101.55,
    live=103.5,
    flip_written=103.0,
    answered={"node-1": 103.1, "node-2": 103.3, "node-3": 103.2},
    copying=0.25,
    canary_load=0.7,
    checking=0.1,
    node_load=1.2,
    skew=0.02,
)


def test_the_whole_ends_with_the_last_node() -> None:
    assert WAY.total == pytest.approx(3.3)
    assert WAY.observed_skew == pytest.approx(0.2)


def test_the_own_share_is_what_is_left_without_the_work_that_nobody_is_spared() -> None:
    assert WAY.own == pytest.approx(3.3 - 0.25 - 0.7 - 0.1 - 1.2)
    assert WAY.own_by_step["canary"] == pytest.approx(1.0 - 0.7 - 0.1)
    assert WAY.own_by_step["load"] == pytest.approx(1.45 - 1.2)
    assert WAY.own_by_step["consume"] == pytest.approx(0.1)


def test_proving_comes_after_the_last_answer_and_is_below_zero_where_the_ledger_was_first() -> None:
    assert WAY.prove == pytest.approx(0.2)
    assert replace(WAY, live=103.25).prove == pytest.approx(-0.05)


instants = st.lists(st.floats(0, 1e4), min_size=8, max_size=8).map(sorted)
seconds = st.floats(0, 100)


@given(at=instants, copying=seconds, canary_load=seconds, checking=seconds, node_load=seconds)
def test_the_steps_add_up_to_the_whole_and_the_own_steps_to_the_own_share(
    at: list[float], copying: float, canary_load: float, checking: float, node_load: float
) -> None:
    way = Way(
        published=at[0],
        received=at[1],
        stored=at[2],
        vetted=at[3],
        canary=at[4],
        promoting=at[5],
        flip_written=at[6],
        answered={"node-1": at[7]},
        live=at[7],
        copying=copying,
        canary_load=canary_load,
        checking=checking,
        node_load=node_load,
        skew=0.0,
    )
    assert tuple(way.steps) == STEPS
    assert sum(way.steps.values()) == pytest.approx(way.total, abs=1e-6)
    assert sum(way.own_by_step.values()) == pytest.approx(way.own, abs=1e-6)
