"""Ctrl-C, SIGTERM and a closed terminal, as something that a loop may look at and wait for."""

from __future__ import annotations

import signal
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import FrameType, TracebackType
from typing import Final, Self

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupt:
    """While entered, these signals ask instead of killing; afterwards they do what they did before."""

    def __init__(self) -> None:
        """Signals are not touched yet."""
        self._asked = False
        # What a handler may touch: setting an event hung where the signal came while the loop was waiting for it.
        self._news: SimpleQueue[int] = SimpleQueue()
        self._before: dict[int, object] = {}

    @property
    def asked(self) -> bool:
        """Whether somebody asked to stop."""
        return self._asked

    def wait(self, seconds: float) -> None:
        """Sleep that long, or until somebody asks."""
        if not self._asked:
            with suppress(Empty):
                self._news.get(timeout=seconds)

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what `signal` gave is what it takes

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        self._asked = True
        self._news.put(number)
