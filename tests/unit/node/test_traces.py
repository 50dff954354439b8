"""A node's part in a rollout's trace: its load, its flip, and the ack of the generation."""

from __future__ import annotations

from roost.adapters.in_memory.clock import ManualClock
from roost.contracts.acks import NodeChange, NodeState
from roost.contracts.trace_context import GENERATION_KEY, PLACES_KEY, packed
from serving.node.traces import NodeTraces
from tests.unit.telemetry.spans import ids, parent, place, traced

ROLLOUT, GENERATION = ("00-" + letter * 32 + "-" + "1" * 16 + "-01" for letter in "ab")
METADATA = {GENERATION_KEY: GENERATION, PLACES_KEY: packed({"r1": ROLLOUT})}


def a_change(clock: ManualClock, what: str, rollout_id: str | None = "r1", **facts: object) -> NodeChange:
    known = {"at": clock.now(), "generation": 7, "name": "ua.default", "version": 2, "what": what}
    return NodeChange.model_validate(known | {"rollout_id": rollout_id} | facts)


def a_state(generation: int, *, settled: bool, converged: bool = True) -> NodeState:
    return NodeState(
        node="n1",
        pool="default",
        generation=generation,
        settled=settled,
        converged=converged,
        ready=True,
        rest_address="r",
        grpc_address="g",
    )


def test_loads_and_flips_are_the_rollouts_and_link_to_the_generation_that_brought_them() -> None:
    clock = ManualClock()
    traces = NodeTraces("n1", "default", clock)
    with traced() as written:
        traces.take_up(7, METADATA)
        assert traces.place("r1") == ROLLOUT
        clock.advance(3)
        traces.tell(a_change(clock, "proven", seconds=2.0))
        clock.advance(1)
        traces.tell(a_change(clock, "stable moved"))
        traces.tell(a_change(clock, "failed", detail="no room"))
        for of_no_trace in ("r2", None):
            traces.tell(a_change(clock, "proven", of_no_trace, seconds=1.0))
        traces.tell(a_change(clock, "unloaded"))
    good, bad = written.named("node load")
    flip = written.one("node flip")
    assert len(written.all()) == 3
    for span in written.all():
        assert (place(span)[0], parent(span)) == ids(ROLLOUT)
        assert [f"{link.context.trace_id:032x}" for link in span.links] == [ids(GENERATION)[0]]
        assert span.attributes is not None
        assert (span.attributes["roost.node"], span.attributes["roost.version"]) == ("n1", 2)
    assert good.end_time is not None
    assert good.start_time is not None
    assert good.end_time - good.start_time == 2_000_000_000
    assert flip.end_time is not None
    assert flip.start_time is not None
    assert flip.end_time - flip.start_time == 4_000_000_000
    assert bad.status.description == "no room"
    assert len({place(span) for span in written.all()}) == 3


def test_the_ack_is_told_once_when_the_generation_that_was_taken_up_has_settled() -> None:
    clock = ManualClock()
    traces = NodeTraces("n1", "default", clock)
    with traced() as written:
        traces.settled(a_state(6, settled=True))
        traces.take_up(7, METADATA)
        clock.advance(5)
        traces.settled(a_state(6, settled=True))
        traces.settled(a_state(7, settled=False))
        traces.settled(a_state(7, settled=True, converged=False))
        traces.settled(a_state(7, settled=True))
    ack = written.one("node generation")
    assert (place(ack)[0], parent(ack)) == ids(GENERATION)
    assert ack.attributes is not None
    assert (ack.attributes["roost.generation"], ack.attributes["roost.converged"]) == (7, False)


def test_a_generation_of_no_trace_is_followed_without_a_word() -> None:
    clock = ManualClock()
    traces = NodeTraces("n1", "default", clock)
    with traced() as written:
        traces.tell(a_change(clock, "proven", seconds=1.0))
        traces.take_up(7, {})
        traces.tell(a_change(clock, "proven", seconds=1.0))
        traces.settled(a_state(7, settled=True))
    assert not written.all()


def test_the_places_of_old_rollouts_are_forgotten() -> None:
    traces = NodeTraces("n1", "default", ManualClock())
    for number in range(1100):
        traces.take_up(number, {PLACES_KEY: packed({f"r{number}": ROLLOUT})})
    assert traces.place("r0") is None
    assert traces.place("r1099") == ROLLOUT
