"""Every process ends alike: 0 when it drained, one line and a code that says whether to try again."""

import logging
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from roost import process
from roost.contracts.errors import BrokerUnavailable, RoostError, SettingsInvalid
from roost.settings import Settings


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    root.handlers[:], root.level = handlers, level
    signal.set_wakeup_fd(-1)
    for number, handler in signals.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("error", "code"), [(SettingsInvalid("bucket is wrong"), 78), (BrokerUnavailable("nobody answers"), 75)]
)
def test_an_expected_error_is_one_line_and_its_code_says_whether_to_try_again(
    error: RoostError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def body(stop: threading.Event) -> None:
        raise error

    assert process.run("part", Settings(log_format="text"), body) == code
    said = capsys.readouterr().err
    assert str(error) in said
    assert "Traceback" not in said


def test_a_bug_keeps_its_traceback() -> None:
    def body(stop: threading.Event) -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        process.run("part", Settings(), body)


def test_sigterm_sets_the_event_and_the_process_ends_well() -> None:
    def body(stop: threading.Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(5)

    assert process.run("part", Settings(), body) == 0


@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_of_the_events_own_work_does_not_hang_the_process(number: signal.Signals) -> None:
    """The handler set the event itself, and waited for ever for the lock that the main thread held below it."""

    def body(stop: threading.Event) -> None:
        with stop._cond:  # as within stop.wait() and stop.is_set()
            os.kill(os.getpid(), number)
            for _ in range(1000):  # handlers run between two instructions
                os.getpid()
            assert not stop.is_set()
        assert stop.wait(30)

    assert process.run("part", Settings(), body) == 0


@pytest.mark.timeout(60)
def test_a_signal_that_another_thread_received_is_obeyed_though_the_main_thread_only_waits() -> None:
    """A deployer that was stopped and went on (SIGSTOP, SIGCONT) passed over SIGTERM for ever, in two cases of three.

    The system had handed it to another thread; Python's handler runs in the main one, which waited for the event.
    """

    def body(stop: threading.Event) -> None:
        other = threading.Timer(0.1, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM))
        other.start()
        assert stop.wait()
        other.join()

    assert process.run("part", Settings(), body) == 0
