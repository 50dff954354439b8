"""Watches a pool's desired state: nudged, or by polling; never backwards."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from roost.contracts.desired import DesiredState
from roost.contracts.errors import NotFound, RoostError, StorageUnavailable
from roost.contracts.ids import desired_object
from roost.contracts.incremental import Parser
from roost.ports.clock import Clock
from serving.node.files import write_atomically
from serving.node.integrity import Key
from serving.node.source import Source
from serving.node.traces import NodeTraces

log = logging.getLogger(__name__)


class DesiredReader:
    """Reads the desired object and is the fence: a generation older than one taken up is refused, restarted or not."""

    def __init__(self, store: Source, pool: str, file: Path, traces: NodeTraces | None = None) -> None:
        """`file` keeps what was taken up; `traces` are told of each generation."""
        self._traces = traces
        self._store = store
        self._pool = pool
        self._file = file
        self._seen = 0
        self._parser = Parser(DesiredState)
        self.current = _kept(file, pool)

    def wanted(self) -> frozenset[Key]:
        """Every version of the newest generation taken up. For any thread."""
        return frozenset((model.name, entry.version) for model in self.current.models for entry in model.versions)

    def read(self, *, unasked: bool) -> bool:
        """Look at the object; returns whether `current` is new. An `unasked` look is one `stat` while nothing changed.

        Raises:
            StorageUnavailable: the store does not answer.
            RoostError: the object is refused; the text says why. `current` stays.
        """
        name = desired_object(self._pool)
        if unasked:
            facts = self._store.stat(name)
            if facts is not None and facts.generation == self._seen:
                return False
        try:
            content, stored = self._store.read(name)
        except NotFound:
            if self.current.generation == 0:
                return False
            raise RoostError(
                f"{self._store.uri(name)} is missing; generation {self.current.generation} goes on being served"
            ) from None
        changed = self._take_up(content, stored.metadata)
        self._seen = stored.generation
        return changed

    def _take_up(self, content: bytes, metadata: Mapping[str, str]) -> bool:
        uri = self._store.uri(desired_object(self._pool))
        try:
            state = self._parser.received(content)
        except ValidationError as error:
            raise RoostError(f"{uri} is not a desired state: {error.errors(include_url=False)[0]['msg']}") from error
        if state.pool != self._pool:
            raise RoostError(f"{uri} is of pool {state.pool}, this node is of pool {self._pool}")
        known = self.current.generation
        if state.generation < known:
            raise RoostError(
                f"{uri} is at generation {state.generation}, older than {known}, which was taken up: refused"
            )
        if state == self.current:
            return False
        if state.generation == known and known > 0:
            raise RoostError(f"{uri} has another content for generation {known}, which was taken up: refused")
        try:
            write_atomically(self._file, content)
        except OSError as error:
            raise RoostError(
                f"generation {state.generation} cannot be kept in {self._file}: {error.strerror}"
            ) from error
        if self._traces:
            # Before anybody follows it: what is done for it is told there.
            self._traces.take_up(state.generation, metadata)
        self.current = state
        return True


class DesiredWatch:
    """A thread that keeps looking. Its last finding is taken by the engine."""

    def __init__(self, reader: DesiredReader, *, poll_seconds: float, clock: Clock, wake: Callable[[], None]) -> None:
        self._reader = reader
        self._poll = poll_seconds
        self._clock = clock
        self._wake = wake
        self._nudged = threading.Event()
        #: What to serve is known: the store has answered, or an earlier life had taken something up.
        self.answered = False
        #: Why the last look failed, or None.
        self.error: str | None = None

    @property
    def current(self) -> DesiredState:
        """The newest taken up."""
        return self._reader.current

    def start(self) -> None:
        """Look at once, then go on."""
        self._nudged.set()
        threading.Thread(target=self._run, name="desired", daemon=True).start()

    def nudge(self, generation: int) -> None:
        """Look now, if that generation is news."""
        if generation > self.current.generation or self.error is not None:
            self._nudged.set()

    def look(self, *, unasked: bool) -> bool:
        """One look; returns whether it succeeded."""
        before = self.error
        try:
            self._reader.read(unasked=unasked)
            self.error = None
        except StorageUnavailable as error:
            self.error = f"the object store is down: {error}"
        except RoostError as error:
            self.error = str(error)
        if self.error != before and self.error is not None:
            log.warning("%s", self.error, extra={"action": "desired_refused", "generation": self.current.generation})
        self.answered = self.answered or self.error is None or self.current.generation > 0
        self._wake()
        return self.error is None

    def _run(self) -> None:
        failures = 0
        while True:
            pause = self._poll if failures == 0 else min(self._poll, 0.5 * 2.0**failures)
            nudged = self._clock.wait(pause, self._nudged)
            self._nudged.clear()
            failures = 0 if self.look(unasked=not nudged) else failures + 1


def _kept(file: Path, pool: str) -> DesiredState:
    try:
        kept = DesiredState.decoded(file.read_bytes())
    except FileNotFoundError:
        return DesiredState.empty(pool)
    except (OSError, ValidationError) as error:
        log.warning("%s cannot be read, so the fence starts anew: %s", file, error, extra={"action": "fence_lost"})
        return DesiredState.empty(pool)
    return kept if kept.pool == pool else DesiredState.empty(pool)
