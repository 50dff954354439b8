"""What changed on this node: noted where it happens, kept over restarts, answered at `/changes`."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, TypedDict, Unpack

from pydantic import ValidationError

from roost.contracts.acks import NodeChange
from roost.ports.clock import Clock
from roost.telemetry import tracing
from serving.node.files import write_atomically
from serving.node.holdings import Held, Holdings
from serving.node.traces import NodeTraces

log = logging.getLogger(__name__)

#: Changes that are kept: a generation of 1,000 versions makes 3,000.
KEPT: Final = 5000


class Facts(TypedDict, total=False):
    """What a change may say beside what it is; see `NodeChange`."""

    name: str
    version: int
    seconds: float | None
    memory_bytes: int | None
    memory_before_bytes: int
    memory_after_bytes: int
    leaked_bytes: int
    detail: str | None


class Notes:
    """Changes of the current pass. For the engine's thread."""

    def __init__(self, holdings: Holdings, clock: Clock, traces: NodeTraces | None = None) -> None:
        """`traces` are told of each change."""
        self._holdings = holdings
        self._clock = clock
        self._traces = traces
        self._taken: list[NodeChange] = []

    def note(self, what: str, held: Held | None = None, **facts: Unpack[Facts]) -> None:
        """Note a change of one version, of the served name in `facts`, or of the whole node. Logs it too."""
        if held is not None:
            facts = {"name": held.name, "version": held.entry.version, **facts}
        change = NodeChange(
            at=self._clock.now(),
            generation=self._holdings.desired.generation,
            what=what,
            rollout_id=held.entry.rollout_id if held else None,
            **facts,
        )
        self._taken.append(change)
        told: dict[str, object] = {"action": what.replace(" ", "_"), "model": change.name, "version": change.version}
        told |= {"generation": change.generation, "seconds": change.seconds}
        words = (change.name or "", what, change.version if change.version is not None else "", change.detail or "")
        with tracing.bound(self._traces.place(change.rollout_id) if self._traces else None):
            log.info(" ".join(str(word) for word in words if word != ""), extra=told)
        if self._traces:
            self._traces.tell(change)

    def take(self) -> list[NodeChange]:
        """The changes since the last call."""
        taken, self._taken = self._taken, []
        return taken


class Journal:
    """The last `kept` changes, in memory and in a file of JSON lines. Safe for threads.

    The file is for people who ask what happened before a restart; nothing is decided by it. So a line is not made
    durable at once, and one that a crash cut is left out.
    """

    def __init__(self, file: Path, *, kept: int = KEPT) -> None:
        self._file = file
        self._kept = kept
        self._lock = threading.Lock()
        self._lines = 0
        self._changes: deque[NodeChange] = deque(self._read(), maxlen=kept)

    def add(self, changes: Sequence[NodeChange]) -> None:
        """Keep these, and forget the oldest beyond the bound."""
        if not changes:
            return
        with self._lock:
            self._changes.extend(changes)
            self._lines += len(changes)
            try:
                if self._lines > 2 * self._kept:
                    write_atomically(self._file, _lines(self._changes))
                    self._lines = len(self._changes)
                else:
                    with self._file.open("ab") as file:
                        file.write(_lines(changes))
            except OSError as error:
                facts = {"action": "changes_not_kept"}
                log.warning("changes are not kept in %s: %s", self._file, error.strerror, extra=facts)

    def since(self, *, after: int = -1, name: str | None = None, limit: int = KEPT) -> Sequence[NodeChange]:
        """The last `limit` changes of generations above `after`, of that served name where one is given, oldest first.

        What concerns the whole node belongs to every served name.
        """
        with self._lock:
            found = [
                one for one in self._changes if one.generation > after and (name is None or one.name in {name, None})
            ]
        return tuple(found[-limit:])

    def _read(self) -> Iterable[NodeChange]:
        try:
            lines = self._file.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            log.warning("%s is not read: %s", self._file, error.strerror, extra={"action": "changes_not_read"})
            return []
        found = []
        for line in lines:
            try:
                found.append(NodeChange.received(line))
            except ValidationError:
                continue
        self._lines = len(lines)
        if len(found) < len(lines):
            # The next lines must not be joined to one that a crash cut: all is written anew.
            self._lines = 2 * self._kept
            facts = {"action": "changes_cut"}
            log.warning("%d lines of %s are no changes", len(lines) - len(found), self._file, extra=facts)
        return found


def _lines(changes: Iterable[NodeChange]) -> bytes:
    return b"".join(change.model_dump_json(exclude_none=True).encode() + b"\n" for change in changes)
