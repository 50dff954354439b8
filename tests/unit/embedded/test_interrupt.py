"""A loop hears of Ctrl-C whatever it is doing, and the signals mean what they meant before afterwards."""

import os
import signal
import threading

import pytest

from roost.embedded.interrupt import Interrupt


@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_wait_under_way_and_every_later_one(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Interrupt() as interrupt:
        assert not interrupt.asked
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
        while not interrupt.asked:
            interrupt.wait(600)
        interrupt.wait(600)
    assert signal.getsignal(number) == before
