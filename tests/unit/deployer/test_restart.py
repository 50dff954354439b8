"""The rolling restart: one node at a time, capacity held, refused by name."""

from __future__ import annotations

import threading

import pytest

from deployer.restart.rolling import Fleet, Order, RestartRefused, RollingRestart
from roost.adapters.in_memory.workload import InMemoryWorkload
from roost.contracts.acks import NodeState
from roost.contracts.errors import ClusterRefused, NodeUnavailable
from roost.contracts.events import OperationReported
from roost.contracts.policy import RestartPolicy, RestartWhen
from roost.ports.serving import NodeAddress
from tests.unit.deployer.world import World


def restart(world: World, *, always: bool = False, spare: bool = False, pool: str = "default") -> tuple[str, ...]:
    fleet = Fleet(pool=pool, directory=world.pools, control=world.pools, store=world.store, spare=spare)
    order = Order(reason="scheduled", always=always, policy=RestartPolicy(), node_seconds=30)
    return RollingRestart(fleet, world.ledger, world.clock).run(order, threading.Event())


def told(world: World) -> list[tuple[str, str]]:
    events = [row.event.data for row in world.ledger.recent_events(limit=100)]
    return [
        (one.what, one.reason)
        for one in events
        if isinstance(one, OperationReported) and one.what.startswith("restart.")
    ]


def test_every_node_is_restarted_once_and_reported(world: World) -> None:
    world.deploy()
    assert restart(world, always=True) == ("default-1", "default-2", "default-3")
    assert [state.restarts for state in world.states()] == [1, 1, 1]
    assert all(state.serves("ua.default", 1) for state in world.states())
    assert [what for what, _ in told(world)] == ["restart.started", "restart.finished"]


def test_a_healthy_pool_is_left_alone_unless_the_policy_says_always(world: World) -> None:
    world.deploy()
    assert restart(world) == ()
    assert told(world) == []
    fleet = Fleet(pool="default", directory=world.pools, control=world.pools, store=world.store)
    order = Order(reason="r", always=False, policy=RestartPolicy(when=RestartWhen.ALWAYS), node_seconds=30)
    assert len(RollingRestart(fleet, world.ledger, world.clock).run(order, threading.Event())) == 3


def test_a_node_behind_the_generation_is_the_only_one_restarted(world: World) -> None:
    world.pool.faults("default-2").deaf = True
    world.receive(world.stage())
    for _ in range(20):
        world.worker.step()
        world.pace(world.canary_pool.step)
        world.pace(world.promoter.step)
    world.pool.poll()  # the simulated restart reloads what the node has taken up
    world.pool.fail_load("ua.default", 1, "stuck", node="default-2")
    world.pool.restart(world.pool.nodes("default")[1], deadline=1)
    world.pool.faults("default-2").load_errors.clear()
    assert restart(world) == ("default-2",)


def test_a_leaking_node_is_restarted_first_and_says_why() -> None:
    from deployer.restart.choice import why

    state = World().states()[0].model_copy(update={"leaked_bytes": 2 * 2**30, "memory_bytes": 5 * 2**30})
    assert why(state, 0, RestartPolicy(), always=False) == (
        "unloading left 2048 MB of its model server's 5120 MB behind, more than 1024 MB: "
        "no reload gives them back, a fresh one does"
    )
    assert why(state, 5, RestartPolicy(), always=False) == "it is at generation 0, behind 5"


def test_a_bad_entry_refuses_the_restart_before_the_first_node(world: World) -> None:
    world.deploy()
    world.pool.fail_load("ua.default", 1, "corrupt")
    for node in world.pool.nodes("default"):
        world.pool.restart(node, deadline=1)
    with pytest.raises(RestartRefused, match=r"ua\.default version 1 fails to load on every node: corrupt"):
        restart(world, always=True)
    assert [state.restarts for state in world.states()] == [1, 1, 1]
    assert [what for what, _ in told(world)] == ["restart.refused"]


def test_a_boot_test_that_fails_leaves_every_other_node_alone(world: World) -> None:
    world.deploy()
    world.pool.fail_load("ua.default", 1, "corrupt", node="default-1")
    with pytest.raises(RestartRefused, match=r"boot test failed. Node default-1 .* ua\.default version 1 failed: corr"):
        restart(world, always=True)
    assert [state.restarts for state in world.states()] == [1, 0, 0]
    assert [what for what, _ in told(world)] == ["restart.started", "restart.refused"]


def test_a_second_node_that_does_not_come_back_ends_the_restart_there(world: World) -> None:
    world.deploy()
    world.pool.fail_load("ua.default", 1, "corrupt", node="default-2")
    with pytest.raises(RestartRefused, match=r"^Node default-2 did not come back"):
        restart(world, always=True)
    assert [state.restarts for state in world.states()] == [1, 1, 0]


def test_capacity_is_held_while_another_node_is_down(world: World) -> None:
    world.deploy()
    world.pool.faults("default-3").down = True
    with pytest.raises(RestartRefused, match="Node default-3 is not ready: restarting default-1"):
        restart(world, always=True)
    assert [state.restarts for state in world.states()] == [0, 0]


def test_the_only_node_is_restarted_in_a_spare_pool_only() -> None:
    world = World(nodes=1)
    world.deploy()
    with pytest.raises(RestartRefused, match="default-1 is the pool's only node"):
        restart(world, always=True)
    assert restart(world, always=True, spare=True, pool="canary") == ("canary-1",)


def test_a_pool_that_was_never_written_can_be_restarted(world: World) -> None:
    assert len(restart(world, always=True)) == 3


def test_a_pool_that_there_is_not_is_refused_by_name(world: World) -> None:
    """It was taken for a pool of which no node needs a restart: exit code 0, and nothing happened."""
    with pytest.raises(RestartRefused, match="Pool nowhere: it has no node"):
        restart(world, always=True, pool="nowhere")
    assert [what for what, _ in told(world)] == ["restart.refused"]


def test_a_pool_of_which_no_node_answers_is_not_taken_for_one_that_is_well(world: World) -> None:
    for node in world.pool.nodes("default"):
        world.pool.faults(node.node).down = True
    with pytest.raises(RestartRefused, match="Pool default: none of its 3 nodes answers"):
        restart(world)


def test_two_restarts_do_not_overlap(world: World) -> None:
    world.ledger.acquire("restart/default", owner="somebody", seconds=60)
    with pytest.raises(RestartRefused, match="another restart of pool default is under way"):
        restart(world, always=True)


def test_a_restart_that_is_told_to_stop_finishes_the_node_at_hand(world: World) -> None:
    stop = threading.Event()

    class StopsAfterOne:
        def __init__(self) -> None:
            self.pools = world.pools

        def state(self, node: NodeAddress, *, deadline: float) -> NodeState:
            return self.pools.state(node, deadline=deadline)

        def restart(self, node: NodeAddress, *, deadline: float) -> None:
            self.pools.restart(node, deadline=deadline)
            stop.set()

        nudge = await_settled = drain = None

    control: object = StopsAfterOne()
    fleet = Fleet(pool="default", directory=world.pools, control=control, store=world.store)
    order = Order(reason="r", always=True, policy=RestartPolicy(), node_seconds=30)
    with pytest.raises(RestartRefused, match="told to stop"):
        RollingRestart(fleet, world.ledger, world.clock).run(order, stop)
    assert sum(state.restarts for state in world.states()) == 1


def test_a_node_that_refuses_the_order_ends_the_restart(world: World) -> None:
    class Deaf:
        def state(self, node: NodeAddress, *, deadline: float) -> NodeState:
            return world.pools.state(node, deadline=deadline)

        def restart(self, node: NodeAddress, *, deadline: float) -> None:
            raise NodeUnavailable("busy")

        nudge = await_settled = drain = None

    control: object = Deaf()
    fleet = Fleet(pool="default", directory=world.pools, control=control, store=world.store)
    order = Order(reason="r", always=True, policy=RestartPolicy(), node_seconds=30)
    with pytest.raises(RestartRefused, match="did not take the order: busy"):
        RollingRestart(fleet, world.ledger, world.clock).run(order, threading.Event())


def test_a_repeated_restart_says_what_it_was_refused_for_and_goes_on() -> None:
    from deployer.restart.main import _tolerant

    def refused() -> None:
        raise RestartRefused("a node is down")

    assert _tolerant(refused) == "a node is down"
    assert _tolerant(lambda: None) is None


def test_what_keeps_a_node_from_serving_is_said_even_where_no_version_failed(world: World) -> None:
    from deployer.restart.choice import trouble

    world.deploy()
    state = world.states()[0]
    assert trouble(state, world.desired()) == "ready is True, converged is True, generation 2"
    full = state.model_copy(update={"error": "disk full"})
    assert trouble(full, world.desired()) == "disk full"


class TestWhereAClusterKeepsThePods:
    def roll(self, world: World, workload: InMemoryWorkload, stop: threading.Event | None = None) -> tuple[str, ...]:
        fleet = Fleet(pool="default", directory=world.pools, control=world.pools, store=world.store, workload=workload)
        order = Order(reason="scheduled", always=True, policy=RestartPolicy(), node_seconds=30)
        return RollingRestart(fleet, world.ledger, world.clock).run(order, stop or threading.Event())

    def test_its_workload_is_rolled_once_and_reported(self, world: World) -> None:
        world.deploy()
        workload = InMemoryWorkload({"default": 3})
        workload.prompt = True
        assert self.roll(world, workload) == ("default-1", "default-2", "default-3")
        assert len(workload.begun) == 1
        assert [state.restarts for state in world.states()] == [0, 0, 0]
        assert [what for what, _ in told(world)] == ["restart.started", "restart.finished"]

    def test_a_first_new_pod_that_never_gets_ready_is_named_and_the_old_ones_go_on(self, world: World) -> None:
        world.deploy()
        workload = InMemoryWorkload({"default": 3})
        workload.restart = lambda pool, **_: workload.block(pool, "pod is not ready")  # type: ignore[method-assign]  # it gets stuck at once
        with pytest.raises(RestartRefused, match="1 of 3 pods are new, 3 ready: pod is not ready"):
            self.roll(world, workload)
        assert told(world)[-1][0] == "restart.refused"

    def test_a_roll_that_does_not_move_ends_at_its_pods_time(self, world: World) -> None:
        world.deploy()
        with pytest.raises(RestartRefused, match="0 of 3 pods are new, 3 ready after 30 s"):
            self.roll(world, InMemoryWorkload({"default": 3}))

    def test_a_pool_without_a_workload_is_refused_before_anything_is_said_to_start(self, world: World) -> None:
        world.deploy()
        with pytest.raises(RestartRefused, match="Pool default cannot be rolled: there is no workload of pool default"):
            self.roll(world, InMemoryWorkload({}))
        assert [what for what, _ in told(world)] == ["restart.refused"]
        assert "no workload of pool default" in told(world)[-1][1]

    def test_what_the_cluster_refuses_is_reported_with_its_words(self, world: World) -> None:
        world.deploy()
        workload = InMemoryWorkload({"default": 3})

        def forbidden(pool: str, *, order: str) -> None:
            raise ClusterRefused(f"cannot patch {pool} by {order}")

        workload.restart = forbidden  # type: ignore[method-assign]  # the right to look, and none to change
        with pytest.raises(RestartRefused, match="its old pods go on serving: cannot patch default by "):
            self.roll(world, workload)
        assert [what for what, _ in told(world)] == ["restart.started", "restart.refused"]

    def test_a_pool_scaled_to_nothing_needs_no_restart(self, world: World) -> None:
        world.deploy()
        workload = InMemoryWorkload({"default": 0})
        assert self.roll(world, workload) == ()
        assert workload.begun == []

    def test_a_restart_that_is_told_to_stop_says_that_the_cluster_goes_on(self, world: World) -> None:
        world.deploy()
        stop = threading.Event()
        stop.set()
        with pytest.raises(RestartRefused, match="the cluster goes on with it"):
            self.roll(world, InMemoryWorkload({"default": 3}), stop)
