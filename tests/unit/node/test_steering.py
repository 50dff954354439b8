"""What the gateway is told, and when: never to send requests to a label that the model server has not, or has no more."""

from __future__ import annotations

from serving.gateway.table import Mirror, RoutingTable
from tests.unit.node.world import Node

UA = "ua.default"
BOTH = ([1, 2], {"stable": 2, "previous": 1})
SHARED = {UA: {"previous": 10.0}}
CANDIDATE = Mirror(percent=20, rest="127.0.0.1:1", grpc="127.0.0.1:2")


def baking(node: Node) -> None:
    node.put(UA, 1, 2)
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    node.desire({UA: BOTH}, splits=SHARED)
    node.settle()


def test_the_gateway_shares_out_requests_once_the_model_server_knows_both_labels(node: Node):
    node.put(UA, 1, 2)
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    node.server.faults.never_loads.add((UA, 2))
    node.desire({UA: BOTH}, splits=SHARED)
    node.step(5)
    assert node.labels(UA) == {"stable": 1, "previous": 1}
    node.server.faults.never_loads.clear()
    node.server.lose((UA, 2))
    node.engine.step()
    assert node.gateway.table == RoutingTable(splits=SHARED)


def test_a_label_stays_until_no_request_is_on_its_way_to_it(node: Node):
    baking(node)
    node.desire({UA: ([2], {"stable": 2})})
    node.engine.step()
    assert node.gateway.table.empty
    assert node.server.given[-1][0].labels == {"stable": 2, "previous": 1}, "the gateway was told first"
    node.quiet(3)
    assert node.labels(UA) == {"stable": 2}
    assert node.server.loaded == {(UA, 2)}


def test_a_gateway_that_does_not_follow_is_told_again(node: Node):
    node.gateway.stubborn = True
    baking(node)
    assert node.gateway.table.empty
    node.gateway.stubborn = False
    node.quiet(6)
    assert node.gateway.table == RoutingTable(splits=SHARED)


def test_a_model_server_that_was_lost_gets_no_share_until_it_has_its_labels_again(node: Node):
    baking(node)
    node.server.crash()
    node.engine.step()
    assert node.gateway.table.empty
    node.settle()
    assert node.gateway.table == RoutingTable(splits=SHARED)


def test_a_mirror_ends_by_itself_when_nobody_asks_for_it_again(node: Node):
    node.put(UA, 1)
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    node.engine.mirrors.set(UA, CANDIDATE, seconds=5)
    node.engine.step()
    assert node.gateway.table == RoutingTable(mirrors={UA: CANDIDATE})
    node.quiet(4)
    node.engine.mirrors.set(UA, CANDIDATE, seconds=5)
    node.quiet(4)
    assert not node.gateway.table.empty
    node.quiet(2)
    assert node.gateway.table.empty
    node.engine.mirrors.set(UA, CANDIDATE, seconds=5)
    node.engine.mirrors.end(UA)
    node.engine.step()
    assert node.gateway.table.empty
