"""Loads the versions that are wanted and unloads the others, keeping every model available meanwhile.

One thread decides (`planning`), pools of threads load and unload. It acts when something changes; with a tick, as the
official manager does, once a tick, and then begins one load or one unload.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from serving.model_server.disk_source import Wanted
from serving.model_server.giving_back import GivingBack
from serving.model_server.planning import Phase, Plan, plan
from serving.model_server.retries import LoadingPolicy, with_retries
from serving.model_server.statuses import Code, StatusError
from serving.model_server.version_states import State, StateBoard

_LOG = logging.getLogger(__name__)


class Closable(Protocol):
    """A loaded version: all that the lifecycle needs to know of it."""

    def close(self) -> None:
        """Wait until no request uses it, then free it."""


_Task = Callable[[], object]
ServableT = TypeVar("ServableT", bound=Closable)
ServableT_contra = TypeVar("ServableT_contra", bound=Closable, contravariant=True)


class ServingMap(Protocol[ServableT_contra]):
    """Where loaded versions are found by requests."""

    def add(self, name: str, version: int, servable: ServableT_contra) -> None:
        """Offer a version to requests."""

    def remove(self, name: str, version: int) -> None:
        """Offer it no longer."""


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
        memory: GivingBack,
    ) -> None:
        self._load = load
        self._serving = serving
        self._board = board
        self._policy = policy
        self._memory = memory
        self._wake = threading.Condition()
        self._dirty: set[str] = set()
        self._wanted: Wanted = {}
        self._harnesses: dict[str, dict[int, _Harness[ServableT]]] = {}
        self._stopped = False
        #: Versions that are being unloaded, or wait for a thread that does it.
        self._unloading = 0
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
                if self._policy.tick_seconds:
                    self._wake.wait_for(lambda: self._stopped, self._policy.tick_seconds)
                else:
                    self._wake.wait_for(lambda: self._stopped or bool(self._dirty))
                if self._stopped:
                    return
                tasks = self._one_of_all() if self._policy.tick_seconds else self._all_of_one()
                over = not (tasks or self._dirty or self._unloading)
            for task in tasks:
                task()
            if over:
                self._memory.settle()

    def _all_of_one(self) -> list[_Task]:
        """All that is to be done for one model."""
        name = self._dirty.pop()
        decided = self._adopt(name)
        return [*self._unloads(name, decided.unload), *self._loads(name, decided.load)]

    def _one_of_all(self) -> list[_Task]:
        """The one step of a tick: an unload of any model, else a load; the first model by name, its newest version."""
        plans = {name: self._adopt(name) for name in sorted(self._dirty)}
        self._dirty = {name for name, decided in plans.items() if decided.unload or decided.load}
        for name, decided in plans.items():
            if decided.unload:
                return self._unloads(name, decided.unload[:1])
        for name, decided in plans.items():
            if decided.load:
                return self._loads(name, decided.load[:1])
        return []

    def _adopt(self, name: str) -> Plan:
        """Decide for one model; forget what is over, and tell of what is to be loaded, by and by."""
        decided = self._plan(name)
        wanted, harnesses = self._wanted.get(name, {}), self._harnesses.setdefault(name, {})
        for version in decided.forget:
            del harnesses[version]
        for version in decided.load:
            if version not in harnesses or harnesses[version].phase is Phase.GONE:
                harnesses[version] = _Harness(phase=Phase.NEW, path=wanted[version])
                self._board.publish(name, version, State.START)
        if not harnesses:
            del self._harnesses[name]
        return decided

    def _plan(self, name: str) -> Plan:
        phases = {version: harness.phase for version, harness in self._harnesses.get(name, {}).items()}
        return plan(self._wanted.get(name, {}), phases)

    def _loads(self, name: str, versions: Sequence[int]) -> list[_Task]:
        tasks: list[_Task] = []
        for version in versions:
            harness = self._harnesses[name][version]
            harness.phase = Phase.LOADING
            tasks.append(self._task(self._loaders, self._load_one, name, version, harness))
        return tasks

    def _unloads(self, name: str, versions: Sequence[int]) -> list[_Task]:
        tasks: list[_Task] = []
        for version in versions:
            harness = self._harnesses[name][version]
            harness.phase = Phase.UNLOADING
            self._unloading += 1
            self._board.publish(name, version, State.UNLOADING)
            tasks.append(self._task(self._unloaders, self._unload_one, name, version, harness))
        return tasks

    @staticmethod
    def _task(
        pool: ThreadPoolExecutor | None,
        work: Callable[[str, int, _Harness[ServableT]], None],
        name: str,
        version: int,
        harness: _Harness[ServableT],
    ) -> _Task:
        if pool is None:
            return partial(work, name, version, harness)
        return partial(pool.submit, work, name, version, harness)

    def _load_one(self, name: str, version: int, harness: _Harness[ServableT]) -> None:
        self._board.publish(name, version, State.LOADING)
        _LOG.info("Loading servable version {name: %s version: %s}", name, version)
        try:
            servable = with_retries(
                lambda: self._load(name, version, harness.path),
                f"Loading servable: {{name: {name} version: {version}}}",
                self._policy,
                harness.unwanted,
            )
        except StatusError as error:
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
        self._memory.freed(more=self._more_to_unload())
        self._turn(name, version, harness, Phase.FAILED, error)

    def _unload_one(self, name: str, version: int, harness: _Harness[ServableT]) -> None:
        _LOG.info("Quiescing servable version {name: %s version: %s}", name, version)
        self._serving.remove(name, version)
        if harness.servable is not None:
            harness.servable.close()
            harness.servable = None
        with self._wake:
            self._unloading -= 1
        # Before its end is told: who hears of the last one's finds the memory of all of them given back.
        self._memory.freed(more=self._more_to_unload())
        _LOG.info("Done unloading servable version {name: %s version: %s}", name, version)
        self._turn(name, version, harness, Phase.GONE)

    def _more_to_unload(self) -> bool:
        with self._wake:
            return self._unloading > 0 or any(self._plan(name).unload for name in self._dirty)

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
