"""The init step of a pod: the cache is filled and the configuration written, before anything serves."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from functools import partial

from roost.contracts.desired import DesiredState
from roost.contracts.errors import Retryable, RoostError
from roost.ports.clock import Clock, SystemClock
from serving.node.cache import DiskCache, DiskTrouble
from serving.node.desired import DesiredReader
from serving.node.files import write_atomically
from serving.node.layout import Layout
from serving.node.model_config import ModelEntry, render_text
from serving.node.source import Source
from serving.node.sync import FILES_AT_ONCE, VERSIONS_AT_ONCE, Fetcher
from serving.node.workers import Workers

log = logging.getLogger(__name__)


class SyncFailed(RoostError):
    """The cache could not be filled; the text says what is missing and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait trouble out: `seconds`, or until `stop`."""

    stop: threading.Event
    seconds: float = 600.0
    clock: Clock = field(default_factory=SystemClock)


def fill(
    store: Source,
    layout: Layout,
    pool: str,
    *,
    limit_bytes: int,
    patience: Patience,
) -> None:
    """Have every desired version in the cache, and write what the node and its model server start from.

    Trouble that passes is waited out.

    Raises:
        SyncFailed: not everything came; what did come stays in the cache.
    """
    clock = patience.clock
    end, pause = clock.monotonic() + patience.seconds, 0.5
    while True:
        try:
            state = _fill_once(store, layout, pool, limit_bytes)
        except Retryable as error:
            if clock.monotonic() + pause > end or clock.wait(pause, patience.stop):
                raise SyncFailed(f"pool {pool} is not in the cache after {patience.seconds:g} s: {error}") from error
            pause = min(30.0, pause * 2)
            continue
        log.info("the cache holds generation %d", state.generation, extra={"action": "synced"})
        return


def _fill_once(store: Source, layout: Layout, pool: str, limit_bytes: int) -> DesiredState:
    reader = DesiredReader(store, pool, layout.desired)
    reader.read(unasked=False)
    state = reader.current
    cache = DiskCache(layout.cache, limit_bytes=limit_bytes, in_use=reader.wanted)
    fetcher = Fetcher(store, cache, layout.incoming, Workers("fetch-file", FILES_AT_ONCE))
    workers = Workers("fetch", VERSIONS_AT_ONCE)
    fetches = [
        workers.submit(partial(fetcher.fetch, model.name, entry)) for model in state.models for entry in model.versions
    ]
    errors = [error for fetch in fetches if (error := fetch.exception()) is not None]
    _raise(pool, errors)
    try:
        write_atomically(layout.boot_config, render_text(_entries(state, cache)).encode())
        write_atomically(layout.good, state.encoded())
    except OSError as error:
        raise DiskTrouble(f"the configuration cannot be kept in {layout.root}: {error.strerror}") from error
    return state


def _raise(pool: str, errors: list[BaseException]) -> None:
    for error in errors:
        if not isinstance(error, RoostError):
            raise error
    permanent = [error for error in errors if not isinstance(error, Retryable)]
    if permanent:
        raise SyncFailed(f"pool {pool} cannot be brought into the cache: {permanent[0]}") from permanent[0]
    if errors:
        raise errors[0]


def _entries(state: DesiredState, cache: DiskCache) -> list[ModelEntry]:
    return [
        ModelEntry(
            name=model.name,
            base_path=cache.base_path(model.name),
            versions=tuple(entry.version for entry in model.versions),
            labels=model.labels,
        )
        for model in state.models
    ]
