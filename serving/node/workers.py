"""Background threads that never keep the process from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

_T = TypeVar("_T")


class Runner(Protocol):
    """Runs calls, now or later."""

    def submit(self, call: Callable[[], _T]) -> Future[_T]:
        """Run `call`; the future has what it returns or raises."""


class InlineRunner:
    """Runs each call at once, in the caller's thread: for tests, whose order is then always the same."""

    def submit(self, call: Callable[[], _T]) -> Future[_T]:
        """Run `call` now."""
        future: Future[_T] = Future()
        _run(call, future)
        return future


class Workers:
    """A fixed number of daemon threads.

    `concurrent.futures` joins its threads at exit, so a download that hangs would hold up the end of the node.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        for number in range(threads):
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True).start()

    def submit(self, call: Callable[[], _T]) -> Future[_T]:
        """Run `call` on one of the threads."""
        future: Future[_T] = Future()
        self._queue.put(lambda: _run(call, future))
        return future

    def _work(self) -> None:
        while True:
            self._queue.get()()


def _run(call: Callable[[], _T], future: Future[_T]) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 (handed to whoever asks for the result)
        future.set_exception(error)
    else:
        future.set_result(result)
