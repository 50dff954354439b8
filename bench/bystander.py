"""Asks one untouched model at a steady pace, and takes down how long each answer took and how many failed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

#: A thread that is not back by then hangs. Seconds.
_JOINED: Final = 700.0


@dataclass(slots=True, kw_only=True)
class Bystander:
    """Asks in a thread of its own for as long as its `with` lasts."""

    #: One question: whether it was answered rightly. What it raises counts as a failed answer.
    ask: Callable[[], bool]
    #: Seconds between an answer and the next question.
    pause: float
    #: When each answer came (monotonic) and how long it took. Seconds.
    answers: list[tuple[float, float]] = field(default_factory=list)
    failed: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def seconds(self) -> Sequence[float]:
        """How long each answer took."""
        return [took for _, took in self.answers]

    def between(self, began: float, ended: float) -> list[float]:
        """Seconds of the answers that came in between."""
        return [took for at, took in self.answers if began <= at < ended]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="bystander", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(_JOINED)

    def _run(self) -> None:
        while not self._over.wait(self.pause):
            began = time.perf_counter()
            try:
                right = self.ask()
            except Exception:  # noqa: BLE001 (whatever it is: the caller got no answer, and that is what is counted)
                right = False
            self.failed += not right
            self.answers.append((time.monotonic(), time.perf_counter() - began))
