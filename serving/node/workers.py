"""Background threads that never keep the process from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_T = TypeVar("_T")


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

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 (handed to whoever asks for the result)
                future.set_exception(error)
            else:
                future.set_result(result)

        self._queue.put(run)
        return future

    def _work(self) -> None:
        while True:
            self._queue.get()()
