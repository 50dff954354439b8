"""One trace from a signup to the flip on every replica, as the stack's own processes wrote it into one file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.world import World

pytestmark = [pytest.mark.e2e, pytest.mark.tensorflow, pytest.mark.timeout(600)]

Span = dict[str, Any]
#: Each span of the way with its parent, and the process that wrote it.
WAY = (
    ("roost.customer.signed_up.v1", None, "roost-command"),
    ("customers publish", "roost.customer.signed_up.v1", "roost-command"),
    ("customers receive", "customers publish", "roost-signup-consumer"),
    ("train_customer_model", "customers receive", "roost-signup-consumer"),
    ("training prepare", "train_customer_model", "roost-training"),
    ("training run", "train_customer_model", "roost-training"),
    ("training publish", "train_customer_model", "roost-training"),
    ("models.ready publish", "training publish", "roost-training"),
    ("models.ready receive", "models.ready publish", "roost-model-consumer"),
    *((f"rollout {one}", "models.ready receive", "roost-deployer") for one in ("RECEIVED", "STORED", "VETTED")),
    *((f"rollout {one}", "models.ready receive", "roost-deployer") for one in ("CANARY", "PROMOTING")),
    ("canary checks", "rollout CANARY", "roost-deployer"),
    ("check golden", "canary checks", "roost-deployer"),
    ("deploy.events publish", "models.ready receive", "roost-deployer"),
)


@dataclass
class Trace:
    """What has been written of one trace, by any process."""

    spans: list[Span]

    @classmethod
    def read(cls, world: World, trace_id: str) -> Trace:
        lines = world.traces.read_text().splitlines() if world.traces.exists() else []
        return cls([span for span in map(json.loads, lines) if span["trace_id"] == trace_id])

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span["name"] == name]

    def parent(self, span: Span) -> str | None:
        """The name of the span that it is a child of."""
        return next((one["name"] for one in self.spans if one["span_id"] == span["parent_id"]), None)


def test_a_signup_is_one_trace_from_the_event_to_the_flip_on_every_replica(world: World) -> None:
    live = world.signed_up("ha")
    assert live.trace_id is not None
    assert f"trace {live.trace_id}" in world.run("why", "ha")
    replicas = {node["node"] for node in world.nodes}

    def whole() -> Trace | None:
        found = Trace.read(world, live.trace_id or "")
        told = any("live" in one["attributes"]["roost.event_type"] for one in found.named("deploy.events publish"))
        flipped = {one["attributes"]["roost.node"] for one in found.named("node flip")}
        return found if told and flipped >= replicas and found.named("train_customer_model") else None

    trace: Trace = world.until("every process has told its part", whole, 180)
    told = {(one["name"], trace.parent(one), one["service"]) for one in trace.spans}
    assert set(WAY) - told == set()
    # Nobody's parent is missing, and there is one beginning.
    assert [one["name"] for one in trace.spans if one["parent_id"] is None] == ["roost.customer.signed_up.v1"]
    assert {trace.parent(one) for one in trace.named("node load")} == {"rollout CANARY", "rollout PROMOTING"}
    assert {trace.parent(one) for one in trace.named("node flip")} == {"rollout PROMOTING"}
    assert len({one["attributes"]["roost.rollout_id"] for one in trace.named("node flip")}) == 1
    # Each load and each flip names the generation that brought it: a span of this trace, or of the group's own.
    assert all(len(one["links"]) == 1 for one in [*trace.named("node load"), *trace.named("node flip")])
