"""Drain, restart, and the end."""

from __future__ import annotations

from tests.unit.node.world import Node

UA = "ua.default"


def serving(node: Node) -> None:
    node.put(UA, 1)
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()


def test_a_drained_node_is_not_ready_and_goes_on_answering(node: Node):
    serving(node)
    node.engine.ask_drain()
    state = node.step()
    assert state.draining
    assert not state.ready
    assert node.gateway.draining
    assert node.gateway.listening
    node.quiet(60)
    assert node.server.starts == 1
    assert node.gateway.running


def test_a_restart_waits_for_requests_under_way(node: Node):
    serving(node)
    node.gateway.requests = 1
    node.engine.ask_restart()
    node.quiet(3)
    assert node.server.starts == 1
    assert not node.gateway.listening
    node.gateway.requests = 0
    state = node.settle()
    assert node.server.starts == 2
    assert node.gateway.starts == 2
    assert state.serves(UA, 1)
    assert not state.draining
    assert state.restarts == 1


def test_a_request_that_never_ends_does_not_stop_a_restart(node: Node):
    serving(node)
    node.gateway.requests = 1
    node.engine.ask_restart()
    node.quiet(15)
    assert node.settle().restarts == 1


def test_a_drained_node_comes_back_by_a_restart(node: Node):
    serving(node)
    node.engine.ask_drain()
    node.quiet(5)
    node.engine.ask_restart()
    assert node.settle().serves(UA, 1)


def test_a_gateway_that_died_is_started_again(node: Node):
    serving(node)
    node.gateway.stop()
    node.settle()
    assert node.gateway.starts == 2


def test_a_restart_goes_on_where_the_gateway_does_not_answer(node: Node):
    serving(node)
    node.engine.ask_restart()
    node.engine.step()
    node.gateway.stop()
    assert node.settle().restarts == 1


def test_at_the_end_the_gateway_goes_before_the_server(node: Node):
    serving(node)
    node.run()
    assert node.state.draining
    assert not node.gateway.running
    assert node.server.pid is None
