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
    """The cache cannot be filled, now or later; the text says what is missing and why."""


class SyncUnfinished(Retryable):
    """The cache is not filled, and trying again may help; the text says what was in the way."""


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

    Trouble that passes is waited out. What has come stays in the cache, whatever is raised.

    Raises:
        SyncFailed: something is missing or wrong.
        SyncUnfinished: trouble did not pass in time, or the process was told to end.
    """
    clock = patience.clock
    end, pause, told = clock.monotonic() + patience.seconds, 0.5, ""
    while True:
        try:
            state = _fill_once(store, layout, pool, limit_bytes)
        except Retryable as error:
            if clock.monotonic() + pause > end:
                raise SyncUnfinished(
                    f"pool {pool} is not in the cache after {patience.seconds:g} s: {error}"
                ) from error
            if str(error) != told:
                told = str(error)
                facts = {"action": "sync_waits"}
                log.warning("the cache is not filled yet, and is tried again until it is: %s", told, extra=facts)
            if clock.wait(pause, patience.stop):
                raise SyncUnfinished(f"told to end before pool {pool} was in the cache: {error}") from error
            pause = min(30.0, pause * 2)
            continue
        versions = sum(len(model.versions) for model in state.models)
        extra = {"action": "synced", "generation": state.generation}
        log.info("the cache holds generation %d (versions: %d)", state.generation, versions, extra=extra)
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
