"""The memory-debt meter: book-keeping over the resident set."""

from __future__ import annotations

import pytest

from serving.node.memory import MemoryMeter
from tests.unit.node.world import Node, stored_bytes

UA, AA, DL = "ua.default", "aa.default", "dl.default"


class Server:
    """A process whose size the test sets; each step books one load or unload."""

    def __init__(self, base: int = 100) -> None:
        self.meter = MemoryMeter()
        self.resident = base
        self.meter.started(base, {})

    def load(self, name: str, version: int, *, size: int, grows: int) -> dict:
        mark = self.meter.mark(self.resident)
        self.resident += grows
        return self.meter.loaded(mark, self.resident, {(name, version): size})

    def unload(self, name: str, version: int, *, frees: int) -> int:
        mark = self.meter.mark(self.resident)
        self.resident -= frees
        parting = self.meter.unloaded(mark, self.resident, [(name, version)])
        assert parting is not None
        assert (parting.before, parting.after) == (mark.resident, self.resident)
        return parting.leaked[name, version]

    @property
    def debt(self) -> int | None:
        return self.meter.debt(self.resident)


def test_what_unloading_does_not_give_back_is_debt():
    server = Server()
    assert server.load(UA, 1, size=10, grows=30) == {(UA, 1): 30}
    assert server.load(AA, 1, size=10, grows=20) == {(AA, 1): 20}
    assert (server.debt, server.meter.charged, server.meter.base) == (0, 50, 100)
    assert server.unload(UA, 1, frees=12) == 18
    assert (server.debt, server.meter.charged) == (18, 20)
    assert server.unload(AA, 1, frees=20) == 0
    assert (server.debt, server.meter.charged) == (18, 0)


def test_memory_that_is_used_again_is_debt_no_longer():
    server = Server()
    server.load(UA, 1, size=30, grows=30)
    server.unload(UA, 1, frees=0)
    assert server.debt == 30
    assert server.load(UA, 2, size=30, grows=5) == {(UA, 2): 5}  # 25 of its bytes lie where the old one lay
    assert (server.debt, server.meter.charged) == (5, 30)
    assert server.unload(UA, 2, frees=30) == 0
    assert server.debt == 5


def test_what_comes_back_later_by_itself_lowers_the_debt():
    server = Server()
    server.load(UA, 1, size=30, grows=30)
    server.unload(UA, 1, frees=0)
    server.resident -= 20
    assert server.debt == 10
    server.resident += 100  # predictions: nobody unloaded that
    assert server.debt == 10


def test_an_unload_that_gives_back_more_than_its_own_pays_old_debt():
    server = Server()
    server.load(UA, 1, size=30, grows=30)
    server.load(AA, 1, size=30, grows=30)
    server.unload(UA, 1, frees=0)
    assert server.unload(AA, 1, frees=50) == 0
    assert server.debt == 10


def test_several_that_load_together_share_the_growth_by_their_size():
    server = Server()
    mark = server.meter.mark(100)
    assert server.meter.loaded(mark, 140, {(UA, 1): 30, (AA, 1): 10}) == {(UA, 1): 30, (AA, 1): 10}
    mark = server.meter.mark(140)
    assert server.meter.loaded(mark, 150, {(UA, 2): 0, (AA, 2): 0}) == {(UA, 2): 5, (AA, 2): 5}


def test_a_load_that_ends_while_others_leave_is_charged_what_came_before_it():
    server = Server()
    server.load(UA, 1, size=10, grows=40)
    server.load(AA, 1, size=10, grows=20)
    leaving = server.meter.mark(160)
    server.meter.loaded_beside({(UA, 2): 10, (DL, 1): 7})  # as big as ua 1 was; dl at its files' bytes
    assert server.meter.charged == 40 + 20 + 40 + 7
    parting = server.meter.unloaded(leaving, 160 + 47 - 15, [(AA, 1)])
    assert parting is not None
    assert parting.leaked == {(AA, 1): 5}
    assert server.meter.debt(192) == 5


def test_an_unload_does_not_take_a_load_in_its_time_for_a_leak():
    server = Server()
    server.load(UA, 1, size=10, grows=30)
    leaving = server.meter.mark(server.resident)
    server.load(AA, 1, size=10, grows=25)
    parting = server.meter.unloaded(leaving, server.resident - 30, [(UA, 1)])
    assert parting is not None
    assert parting.leaked == {(UA, 1): 0}


def test_where_nothing_is_known_nothing_is_claimed():
    meter = MemoryMeter()
    assert (meter.base, meter.charged, meter.debt(5)) == (None, None, None)
    meter.started(None, {})
    assert meter.mark(None) is None
    assert meter.loaded(None, 10, {(UA, 1): 1}) == {}
    assert meter.unloaded(None, 10, [(UA, 1)]) is None
    assert meter.debt(None) is None


@pytest.mark.parametrize("booted", [{}, {(UA, 1): 30}])
def test_a_fresh_server_owes_nothing(booted: dict):
    server = Server()
    server.load(UA, 1, size=30, grows=30)
    server.unload(UA, 1, frees=0)
    server.meter.started(200, booted)
    assert server.meter.debt(200) == 0
    assert server.meter.base == 200 - sum(booted.values())


def test_a_node_tells_what_each_unload_left_behind(node: Node):
    node.put(UA, 1, 2)
    node.desire({})
    node.settle()
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    node.server.faults.leaks = 4_000_000
    node.desire({UA: ([2], {"stable": 2})})
    node.settle()
    node.quiet(3)
    unloaded = node.engine.journal.since()[-1]
    assert (unloaded.what, unloaded.version, unloaded.leaked_bytes) == ("unloaded", 1, 4_000_000)
    assert unloaded.memory_before_bytes - unloaded.memory_after_bytes == 6_000_000
    assert node.state.leaked_bytes == 4_000_000
    assert node.state.models_bytes == 10_000_000
    assert node.state.base_bytes == 100_000_000
    assert node.version(UA, 2).memory_bytes == 10_000_000
    node.engine.ask_restart()
    assert node.settle().leaked_bytes == 0
    assert node.state.models_bytes == 10_000_000


def test_a_version_that_takes_long_to_leave_is_not_measured(node: Node):
    node.put(UA, 1, 2)
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    node.server.faults.never_leaves.add((UA, 1))
    node.desire({UA: ([2], {"stable": 2})})
    node.settle()
    node.quiet(40)
    unloaded = node.engine.journal.since()[-1]
    assert (unloaded.what, unloaded.detail) == ("unloaded", "what memory came back is not known")
    assert node.state.leaked_bytes == 0


def test_a_server_that_dies_takes_what_was_leaving_with_it(node: Node):
    node.put(UA, 1, 2)
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    node.server.faults.never_leaves.add((UA, 1))
    node.desire({UA: ([2], {"stable": 2})})
    node.settle()
    node.quiet(3)
    node.server.crash()
    node.settle()
    told = [(change.what, change.version) for change in node.engine.journal.since()]
    assert ("unloaded", 1) in told
    assert ("model server replaced", None) in told
    assert stored_bytes(UA, 2) < node.state.models_bytes == 10_000_000
