"""Envoy counts from its start; the node's counters go on over any number of starts."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import REGISTRY

from roost.contracts.errors import NodeUnavailable
from serving.gateway.admin import Answers
from serving.node.gateway_meter import GatewayMeter


def counted(door: str) -> tuple[float, float]:
    names = ("roost_gateway_answers_total", "roost_gateway_failed_answers_total")
    answers, failed = (REGISTRY.get_sample_value(name, {"door": door}) or 0.0 for name in names)
    return answers, failed


def test_what_a_gateway_counts_is_added_over_its_starts_and_an_outage_adds_nothing() -> None:
    told: list[Mapping[str, Answers] | NodeUnavailable] = [
        {"rest": Answers(total=10, failed=1)},
        NodeUnavailable("away"),
        {"rest": Answers(total=12, failed=1)},
        {"rest": Answers(total=3, failed=3)},
    ]

    def ask() -> Mapping[str, Answers]:
        found = told.pop(0)
        if isinstance(found, NodeUnavailable):
            raise found
        return found

    before = counted("rest")
    meter = GatewayMeter(ask)
    for _ in range(4):
        meter.step()
    after = counted("rest")
    assert (after[0] - before[0], after[1] - before[1]) == (15, 4)


def test_a_door_that_nobody_used_shows_zero_so_that_its_first_failure_is_an_increase() -> None:
    GatewayMeter(dict)
    assert REGISTRY.get_sample_value("roost_gateway_failed_answers_total", {"door": "grpc"}) is not None
