"""Has versions loaded by the model server, watches them come, and proves each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from roost.adapters.tf_serving import LoadState
from roost.contracts.acks import VersionState
from roost.contracts.errors import ModelServerUnavailable, Permanent
from roost.ports.clock import Clock
from roost.telemetry import metrics
from serving.node.cache import DiskCache
from serving.node.holdings import Held, Holdings
from serving.node.integrity import Key
from serving.node.journal import Notes
from serving.node.memory import Mark, MemoryMeter
from serving.node.model_server import ModelServer
from serving.node.neighbours import NeighbourPace
from serving.node.order import to_load
from serving.node.proof import Proof
from serving.node.workers import Runner

log = logging.getLogger(__name__)

#: Versions given to the server in one reload. It loads about ten a second, and a reload waits for names that are new.
_BATCH: Final = 64
#: A server that looks at its disk once a second may need this long to begin a version again that it has ended before.
_RESTART_SECONDS: Final = 5.0
_DAMAGED: Final = "its cached files are damaged and will be fetched again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What works on the holdings share this."""

    holdings: Holdings
    server: ModelServer
    cache: DiskCache
    proof: Proof
    clock: Clock
    #: Runs predictions that prove.
    proofs: Runner
    #: Seconds that a reload, and the load of a version, may take.
    deadline: float
    #: What changes, for `/changes`; what the versions take; how many may load beside those that are served.
    notes: Notes
    memory: MemoryMeter
    pace: NeighbourPace


class Loader:
    """Brings versions from LOADING to PROVEN or FAILED, without ever waiting for one of them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        #: The memory before what is under way began to load.
        self._mark: Mark | None = None
        #: What the server said of its last reload, None where it took it.
        self._refusal: str | None = None
        #: Whether anything loads, or waits to; and whether the last look found that something has come.
        self.busy = self.came = False
        #: Served names of which versions are leaving the server: meanwhile its size says nothing about what comes.
        self.leaving: Callable[[], Collection[str]] = tuple
        #: Whether files of what is loaded are missing: a server that misses them looks at nothing else.
        self.mending: Callable[[], bool] = lambda: False

    def start(self) -> bool:
        """Ask the server for what is on disk and not loaded. Returns whether there was anything to ask.

        Raises:
            ReloadTimedOut: the server is wedged.
            ModelServerUnavailable: it is gone.
        """
        batch = self.inspect(self._next_batch())
        if not batch or self.mending():
            return False
        parts = self._parts
        if not self._under_way():
            self._mark = parts.memory.mark(parts.server.resident_bytes())
        for held in batch:
            held.ended_before = self._has_ended(held)
            held.asked = parts.clock.monotonic()
            held.loaded = True
        self._reload()
        return True

    def inspect(self, about_to_load: Iterable[Held]) -> list[Held]:
        """Those whose files are what they should be. The others are fetched again, before any server reads them."""
        good = []
        for held in about_to_load:
            if self._parts.cache.sound(held.key, held.entry.digest):
                good.append(held)
            else:
                held.fail(_DAMAGED, retry_at=self._parts.clock.monotonic())
                held.ours_to_blame = True
                self._parts.notes.note("failed", held, detail=_DAMAGED)
        return good

    def watch(self) -> float | None:
        """Look at what is loading, and prove what has come. Returns the age of the youngest load, None without any.

        Raises:
            ModelServerUnavailable: the server is gone.
        """
        loading = self._under_way()
        came = [held for held in loading if self._has_come(held)]
        self.came = bool(came)
        if came:
            self._prove(came)
        left = [held.asked for held in loading if held.state is VersionState.LOADING]
        return self._parts.clock.monotonic() - max(left) if left else None

    def audit(self) -> None:
        """Ask the server for the status of all that passes for proven; what it no longer has is loaded again.

        Raises:
            ModelServerUnavailable: the server is gone.
        """
        proven = [held for held in self._parts.holdings if held.proven and held.loaded]
        lost = [held for held in proven if not self._is_available(held)]
        for held in lost:
            held.state, held.loaded = VersionState.LOADING, False
            log.warning("%s version %d was lost", *held.key, extra={"action": "version_lost", "model": held.name})
        if lost:
            # A list that still names it would change nothing: it leaves the list, and comes again.
            self._reload()

    def blame(self, suspects: list[Held], what: str) -> None:
        """The server died or hung while these were loading: a single one is guilty, several are tried one by one.

        Unless another model's files have vanished: then the server waited for them, and these are loaded again.
        """
        vanished = [held for held in self._parts.holdings if held.trusted and not self._parts.cache.there(held.key)]
        if any(held not in suspects for held in vanished):
            named = ", ".join(f"{held.name} version {held.entry.version}" for held in vanished)
            log.warning("the model server %s without %s on its disk", what, named, extra={"action": "cache_vanished"})
            return
        if len(suspects) == 1:
            self._fail(suspects[0], f"the model server {what} while this version was loading")
        for held in suspects:
            held.alone = True

    def _next_batch(self) -> list[Held]:
        waiting = to_load(self._parts.holdings, self.leaving())
        under_way = len(self._under_way())
        self.busy = bool(waiting or under_way)
        room = self._parts.pace.room(waiting=len(waiting), under_way=under_way)
        for what, why in self._parts.pace.take():
            self._parts.notes.note(what, detail=why)
        together = [held for held in waiting if not held.alone]
        if together:
            return together[: min(_BATCH, room)]
        return waiting[: min(1, room)] if not under_way else []

    def _under_way(self) -> list[Held]:
        return [held for held in self._parts.holdings if held.loaded and held.state is VersionState.LOADING]

    def _reload(self) -> None:
        parts = self._parts
        entries = parts.holdings.entries(parts.cache, lambda held: held.loaded, parts.holdings.labels)
        self._refusal = None
        try:
            parts.server.reload(entries, deadline=parts.deadline)
        except Permanent as error:
            # What has come all the same, and what has not, the status of each version tells.
            self._refusal = str(error)

    def _is_available(self, held: Held) -> bool:
        status = self._parts.server.status(*held.key)
        return status is not None and status.state is LoadState.AVAILABLE

    def _has_ended(self, held: Held) -> bool:
        status = self._parts.server.status(*held.key)
        return status is not None and status.state is LoadState.END

    def _has_come(self, held: Held) -> bool:
        now = self._parts.clock.monotonic()
        status = self._parts.server.status(*held.key)
        state = status.state if status else LoadState.UNKNOWN
        if state is LoadState.AVAILABLE:
            return True
        if state in {LoadState.START, LoadState.LOADING}:
            held.ended_before = False
        stale = held.ended_before and now - held.asked < _RESTART_SECONDS
        if status and status.state is LoadState.END and status.error and not stale:
            self._fail(held, status.error)
        elif now - held.asked > self._parts.deadline and self.mending():
            held.asked = now
        elif now - held.asked > self._parts.deadline:
            said = (status.error if status else None) or self._refusal or "without an error"
            self._fail(held, f"not available after {self._parts.deadline:g} s: {state}, {said}")
        return False

    def _prove(self, came: list[Held]) -> None:
        parts = self._parts
        answers = [parts.proofs.submit(partial(parts.proof.by_version, held.key)) for held in came]
        gone: ModelServerUnavailable | None = None
        proven = []
        for held, answer in zip(came, answers, strict=True):
            try:
                answer.result()
                proven.append(held)
            except Permanent as error:
                self._fail(held, str(error))
            except ModelServerUnavailable as error:
                gone = error
        if gone is not None:
            raise gone
        self._welcome(proven)

    def _welcome(self, proven: list[Held]) -> None:
        now, grown = self._parts.clock.monotonic(), self._measure(proven)
        for held in proven:
            held.state, held.error, held.alone, held.trusted = VersionState.PROVEN, None, False, True
            if held.seconds is None:
                held.seconds = round(now - held.began, 4)
                metrics.NODE_LOAD.observe(held.seconds)
            if held.memory_bytes is None:
                held.memory_bytes = grown.get(held.key)
            self._parts.notes.note("proven", held, seconds=held.seconds, memory_bytes=held.memory_bytes)

    def _measure(self, proven: list[Held]) -> dict[Key, int]:
        """Book what these took. What a server was started on is part of its start, and booked already."""
        memory, resident = self._parts.memory, self._parts.server.resident_bytes()
        mark, self._mark = self._mark, memory.mark(resident)
        sizes = {held.key: self._parts.cache.bytes_of(held.key) for held in proven if not memory.has(held.key)}
        if not sizes:
            return {}
        if self.leaving():
            memory.loaded_beside(sizes)
            return {}
        return memory.loaded(mark, resident, sizes)

    def _fail(self, held: Held, error: str) -> None:
        key = held.key
        if self._parts.cache.intact(key):
            held.fail(error)
        else:
            held.fail(f"{_DAMAGED} ({error})", retry_at=0.0)
        self._parts.notes.note("failed", held, detail=held.error)
