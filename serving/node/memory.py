"""The memory-debt meter, in its first form: what unloading did not give back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from serving.node.holdings import Held

#: Growth below this is an allocator's habit, not a leak: arenas and thread stacks of the first predictions. Bytes.
_SLACK: Final = 32 * 1024 * 1024


class MemoryMeter:
    """Compares a server's resident set with its size when it had nothing, and what the loaded versions took.

    An estimate: growth while several loaded at once is shared out evenly, and predictions grow a server too.
    """

    def __init__(self) -> None:
        self._empty: int | None = None
        self._unloaded = False

    def started(self, resident: int | None, held: Iterable[Held]) -> None:
        """A fresh server is up; `resident` includes what it was started on."""
        taken = sum(each.memory_bytes or 0 for each in held if each.loaded)
        self._empty = None if resident is None else max(0, resident - taken)
        self._unloaded = False

    def unloaded(self) -> None:
        """Versions were taken from it: from now on there can be debt."""
        self._unloaded = True

    def leaked(self, resident: int | None, held: Iterable[Held]) -> int | None:
        """Bytes that nothing loaded explains; 0 before anything was unloaded, None where nothing is known."""
        if resident is None or self._empty is None:
            return None
        if not self._unloaded:
            return 0
        explained = self._empty + sum(each.memory_bytes or 0 for each in held if each.loaded)
        return max(0, resident - explained - _SLACK)
