"""What the fakes promise beyond the contract: time that moves only when told, and waking."""

from __future__ import annotations

import threading
from datetime import timedelta

from roost.adapters.in_memory.clock import START, ManualClock
from roost.adapters.in_memory.ledger import InMemoryLedger
from roost.contracts.events import CustomerSignedUp
from roost.ports.ledger import Ledger


def test_waiting_moves_both_clocks_at_once() -> None:
    clock = ManualClock()
    assert not clock.wait(30)
    assert (clock.now(), clock.monotonic()) == (START + timedelta(seconds=30), 30.0)


def test_who_is_told_to_stop_waits_for_nothing() -> None:
    clock, stop = ManualClock(), threading.Event()
    stop.set()
    assert clock.wait(30, stop)
    assert clock.monotonic() == 0


def test_a_wall_clock_may_jump_back_and_the_monotonic_one_does_not() -> None:
    clock = ManualClock()
    clock.advance(-3600)
    assert clock.now() < START
    assert clock.monotonic() == 0


def test_who_waits_is_woken_by_what_concerns_them() -> None:
    ledger: InMemoryLedger = InMemoryLedger(ManualClock())
    whole: Ledger = ledger
    waiting = ledger.wakeups()
    assert waiting.wait(0) == {"rollouts", "commands", "outbox", "onboarding"}
    assert waiting.wait(0) == frozenset()
    whole.sign_up("s", CustomerSignedUp(customer="acme"), at=START, run_id="r")
    assert waiting.wait(10) == {"onboarding"}
    waiting.close()
    whole.offboard("o", "acme", "", at=START)
    assert waiting.wait(0) == frozenset()
