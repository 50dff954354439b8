"""Loads the versions that are wanted and unloads the others, keeping every model available meanwhile.

One thread decides (`planning`), pools of threads load and unload. It acts when something changes, not on a tick.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from serving.model_server.disk_source import Wanted
from serving.model_server.planning import Phase, plan
from serving.model_server.statuses import Code, StatusError
from serving.model_server.version_states import State, StateBoard

_LOG = logging.getLogger(__name__)


class Closable(Protocol):
    """A loaded version: all that the lifecycle needs to know of it."""

    def close(self) -> None:
        """Wait until no request uses it, then free it."""


ServableT = TypeVar("ServableT", bound=Closable)
ServableT_contra = TypeVar("ServableT_contra", bound=Closable, contravariant=True)


class ServingMap(Protocol[ServableT_contra]):
    """Where loaded versions are found by requests."""

    def add(self, name: str, version: int, servable: ServableT_contra) -> None:
        """Offer a version to requests."""

    def remove(self, name: str, version: int) -> None:
        """Offer it no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadingPolicy:
    """How loads are run and retried. Zero threads mean: in the deciding thread itself, one after another."""

    load_threads: int
    unload_threads: int
    max_retries: int
    retry_seconds: float


@dataclass(slots=True, kw_only=True)
class _Harness(Generic[ServableT]):
    """What the lifecycle keeps of one version that it started."""

    phase: Phase
    path: Path
    servable: ServableT | None = None
    unwanted: threading.Event = field(default_factory=threading.Event)


class Lifecycle(Generic[ServableT]):
    """Brings what is loaded to what is wanted, and publishes each change on the board."""

    def __init__(
        self,
        *,
        load: Callable[[str, int, Path], ServableT],
        serving: ServingMap[ServableT],
        board: StateBoard,
        policy: LoadingPolicy,
    ) -> None:
        self._load = load
        self._serving = serving
        self._board = board
        self._policy = policy
        self._wake = threading.Condition()
        self._dirty: set[str] = set()
        self._wanted: Wanted = {}
        self._harnesses: dict[str, dict[int, _Harness[ServableT]]] = {}
        self._stopped = False
        self._loaders = _pool(policy.load_threads, "load")
        self._unloaders = _pool(policy.unload_threads, "unload")
        self._thread = threading.Thread(target=self._run, name="lifecycle", daemon=True)

    def start(self) -> None:
        """Begin to act."""
        self._thread.start()

    def stop(self) -> None:
        """Start nothing more; what is loaded stays loaded for the requests that still run."""
        with self._wake:
            self._stopped = True
            for harnesses in self._harnesses.values():
                for harness in harnesses.values():
                    harness.unwanted.set()
            self._wake.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def want(self, wanted: Wanted) -> None:
        """Replace what is wanted, of all models at once. Models left out are wanted in no version."""
        with self._wake:
            self._dirty.update(
                name for name in self._wanted.keys() | wanted if self._wanted.get(name) != wanted.get(name)
            )
            self._wanted = wanted
            for name in self._dirty:
                self._let_go(name)
            self._wake.notify_all()

    def serves(self, name: str) -> bool:
        """Whether a wanted version of the model is ready already, so that no news of it will come."""
        with self._wake:
            harnesses = self._harnesses.get(name, {})
            return any(
                harnesses[version].phase is Phase.READY for version in harnesses.keys() & self._wanted.get(name, {})
            )

    def _let_go(self, name: str) -> None:
        """End retries of what is no longer wanted, and forget failures, so that to want it again is to try it again."""
        harnesses = self._harnesses.get(name, {})
        for version in harnesses.keys() - self._wanted.get(name, {}):
            harnesses[version].unwanted.set()
            if harnesses[version].phase in (Phase.FAILED, Phase.GONE):
                del harnesses[version]

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopped or bool(self._dirty))
                if self._stopped:
                    return
                name = self._dirty.pop()
                tasks = self._decide(name)
            for task in tasks:
                task()

    def _decide(self, name: str) -> list[Callable[[], object]]:
        """Note what is to be done for one model, and return the doing of it, to be run without the lock."""
        wanted = self._wanted.get(name, {})
        harnesses = self._harnesses.setdefault(name, {})
        decided = plan(wanted, {version: harness.phase for version, harness in harnesses.items()})
        tasks: list[Callable[[], object]] = []
        for version in decided.forget:
            del harnesses[version]
        for version in decided.load:
            harness: _Harness[ServableT] = _Harness(phase=Phase.LOADING, path=wanted[version])
            harnesses[version] = harness
            self._board.publish(name, version, State.START)
            tasks.append(self._task(self._loaders, self._load_one, name, version, harness))
        for version in decided.unload:
            harnesses[version].phase = Phase.UNLOADING
            self._board.publish(name, version, State.UNLOADING)
            tasks.append(self._task(self._unloaders, self._unload_one, name, version, harnesses[version]))
        if not harnesses:
            del self._harnesses[name]
        return tasks

    @staticmethod
    def _task(
        pool: ThreadPoolExecutor | None,
        work: Callable[[str, int, _Harness[ServableT]], None],
        name: str,
        version: int,
        harness: _Harness[ServableT],
    ) -> Callable[[], object]:
        if pool is None:
            return partial(work, name, version, harness)
        return partial(pool.submit, work, name, version, harness)

    def _load_one(self, name: str, version: int, harness: _Harness[ServableT]) -> None:
        self._board.publish(name, version, State.LOADING)
        try:
            servable = self._load_with_retries(name, version, harness)
        except StatusError as error:
            _LOG.error("Loading servable: {name: %s version: %s} failed: %s", name, version, error)
            self._fail(name, version, harness, error)
            return
        except Exception as error:  # noqa: BLE001  (it ends as this version's status, which tells it)
            # Whatever a model does to the loader, the others must go on; its status tells what happened.
            _LOG.exception("Loading servable: {name: %s version: %s} failed", name, version)
            self._fail(name, version, harness, StatusError(Code.INTERNAL, f"{type(error).__name__}: {error}"))
            return
        harness.servable = servable
        self._serving.add(name, version, servable)
        _LOG.info("Successfully loaded servable version {name: %s version: %s}", name, version)
        self._turn(name, version, harness, Phase.READY)

    def _fail(self, name: str, version: int, harness: _Harness[ServableT], error: StatusError) -> None:
        self._turn(name, version, harness, Phase.FAILED, error)

    def _load_with_retries(self, name: str, version: int, harness: _Harness[ServableT]) -> ServableT:
        for attempt in range(self._policy.max_retries + 1):
            try:
                return self._load(name, version, harness.path)
            except StatusError as error:
                if attempt == self._policy.max_retries:
                    raise
                seconds = self._policy.retry_seconds
                _LOG.warning("Retrying the load of {name: %s version: %s} in %s s: %s", name, version, seconds, error)
                if harness.unwanted.wait(seconds):
                    raise
        raise StatusError(Code.INTERNAL, f"max_num_load_retries is {self._policy.max_retries}")

    def _unload_one(self, name: str, version: int, harness: _Harness[ServableT]) -> None:
        self._serving.remove(name, version)
        if harness.servable is not None:
            harness.servable.close()
            harness.servable = None
        _LOG.info("Unloaded servable version {name: %s version: %s}", name, version)
        self._turn(name, version, harness, Phase.GONE)

    def _turn(
        self,
        name: str,
        version: int,
        harness: _Harness[ServableT],
        phase: Phase,
        error: StatusError | None = None,
    ) -> None:
        """Note how far a version is and tell it, in one step: whoever hears of it must find it noted."""
        with self._wake:
            harness.phase = phase
            self._board.publish(name, version, State.AVAILABLE if phase is Phase.READY else State.END, error)
            self._dirty.add(name)
            self._wake.notify_all()


def _pool(threads: int, name: str) -> ThreadPoolExecutor | None:
    return ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name) if threads > 0 else None
