"""Watches what was taken from the model server go, and books what memory came back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from roost.adapters.tf_serving import LoadState
from roost.telemetry import metrics
from serving.node.holdings import Held
from serving.node.integrity import Key
from serving.node.loading import Parts
from serving.node.memory import Mark

#: A reload returns before what it leaves out is unloaded. One that takes longer than this is not measured. Seconds.
_PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Departure:
    held: tuple[Held, ...]
    mark: Mark | None
    began: float


class Departures:
    """For the engine's thread."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._under_way: list[_Departure] = []

    @property
    def waiting(self) -> bool:
        """Whether something has not gone yet."""
        return bool(self._under_way)

    def names(self) -> frozenset[str]:
        """Served names of which something has not gone yet."""
        return frozenset(held.name for departure in self._under_way for held in departure.held)

    def mark(self) -> Mark | None:
        """The memory before an unload."""
        return self._parts.memory.mark(self._parts.server.resident_bytes())

    def begin(self, held: list[Held], mark: Mark | None) -> None:
        """These were taken from the server's list."""
        now = self._parts.clock.monotonic()
        self._under_way.append(_Departure(held=tuple(held), mark=mark, began=now))

    def watch(self, *, loading: bool) -> None:
        """Book what has gone. While something is `loading` the memory says nothing, so that is waited out first.

        Raises:
            ModelServerUnavailable: the server is gone.
        """
        for departure in list(self._under_way):
            late = self._parts.clock.monotonic() - departure.began > _PATIENCE
            if late or (not loading and all(self._gone(held.key) for held in departure.held)):
                self._under_way.remove(departure)
                self._book(departure, measured=not late)

    def lose_server(self) -> None:
        """The server is gone, with everything."""
        for departure in self._under_way:
            for held in departure.held:
                self._parts.notes.note("unloaded", held, detail="with the model server, which was replaced")
        self._under_way.clear()

    def _gone(self, key: Key) -> bool:
        held = self._parts.holdings.versions.get(key)
        if held is not None and held.loaded:
            return True  # it has come back already
        status = self._parts.server.status(*key)
        return status is None or status.state in {LoadState.END, LoadState.UNKNOWN}

    def _book(self, departure: _Departure, *, measured: bool) -> None:
        memory, resident = self._parts.memory, self._parts.server.resident_bytes()
        keys = [held.key for held in departure.held]
        parting = memory.unloaded(departure.mark if measured else None, resident, keys)
        for held in departure.held:
            if parting is None:
                self._parts.notes.note("unloaded", held, detail="what memory came back is not known")
                continue
            leaked = parting.leaked[held.key]
            metrics.NODE_UNLOAD_LEAKED.inc(leaked)
            self._parts.notes.note(
                "unloaded",
                held,
                memory_before_bytes=parting.before,
                memory_after_bytes=parting.after,
                leaked_bytes=leaked,
            )
