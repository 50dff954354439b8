"""A model server in memory, with the faults that tests need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from roost.adapters.tf_serving import Answer, LoadState, LoadStatus, ReloadTimedOut
from roost.contracts.desired import STABLE
from roost.contracts.errors import ModelServerUnavailable, Permanent
from roost.ports.serving import Tensors
from serving.node.integrity import Key
from serving.node.model_config import ModelEntry
from serving.node.model_server import ServerState


@dataclass(slots=True, kw_only=True)
class ServerFaults:
    """What is wrong with a model server."""

    #: Versions that fail to load, with the error.
    load_errors: dict[Key, str] = field(default_factory=dict)
    #: Versions for which a reload says OK, and that never come.
    never_loads: set[Key] = field(default_factory=set)
    #: Versions that the process dies of.
    crashes_on: set[Key] = field(default_factory=set)
    #: Versions whose answer is this instead of 1.
    answers: dict[Key, float] = field(default_factory=dict)
    #: Versions that refuse predictions, with the error.
    refuses: dict[Key, str] = field(default_factory=dict)
    #: Reloads that will hang.
    hangs: int = 0
    #: What happens while one hangs.
    meanwhile: Callable[[], None] = lambda: None
    #: Versions that never end, though they were taken from the list.
    never_leaves: set[Key] = field(default_factory=set)
    #: Bytes that each version keeps when it is unloaded.
    leaks: int = 0
    #: Labels are taken and not followed.
    ignores_labels: bool = False
    #: It runs, and answers nothing until it is replaced.
    deaf: bool = False
    #: Its REST API, and nothing else, is dead until it is replaced.
    rest_is_dead: bool = False
    #: Starts after which its REST API does not come up.
    starts_without_rest: int = 0
    #: Starts that will fail.
    cannot_start: int = 0
    #: It ends at once when started on any model.
    dies_at_boot: bool = False


class InMemoryModelServer:
    """A `ModelServer` with the official one's rules: a config stands before its labels are checked."""

    def __init__(self) -> None:
        self.faults = ServerFaults()
        #: Every list it was given, in order, boots included.
        self.given: list[tuple[ModelEntry, ...]] = []
        self.starts = 0
        #: Its metrics page.
        self.page = ""
        self._running = self._without_rest = False
        self._states: dict[Key, LoadStatus] = {}
        self._kept_bytes = 0
        self._labels: dict[str, dict[str, int]] = {}

    @property
    def pid(self) -> int | None:
        """A number while it runs."""
        return 1000 + self.starts if self._running else None

    @property
    def loaded(self) -> set[Key]:
        """What is AVAILABLE."""
        return {key for key, status in self._states.items() if status.state is LoadState.AVAILABLE}

    def start(self, entries: Sequence[ModelEntry]) -> None:
        """A fresh one, with these models."""
        if self.faults.cannot_start:
            self.faults.cannot_start -= 1
            raise OSError("no space left")
        self.starts += 1
        self.faults.deaf = self.faults.rest_is_dead = False
        self._without_rest = self.faults.starts_without_rest > 0
        self.faults.starts_without_rest -= self._without_rest
        self._running = not (self.faults.dies_at_boot and entries)
        self._states.clear()
        self._kept_bytes = 0
        self._labels.clear()
        self._take(entries)
        self._labels = {entry.name: dict(entry.labels) for entry in entries}

    def state(self) -> ServerState:
        """Up at once."""
        if not self._running:
            return ServerState.DOWN
        return ServerState.STARTING if self._without_rest else ServerState.UP

    def hindrance(self) -> str | None:
        """Of a start without REST."""
        return "its REST port does not answer" if self._without_rest else None

    def metrics_page(self) -> str:
        """What the test has set."""
        self._check_running()
        return self.page

    def check_rest(self) -> None:
        """Ask its REST API."""
        self._check_running()
        if self.faults.rest_is_dead:
            raise ModelServerUnavailable("its REST port does not answer")

    def crash(self) -> None:
        """It dies."""
        self._running = False
        self._states.clear()

    def lose(self, key: Key) -> None:
        """A version is gone, for no reason that anybody knows."""
        self._states[key] = LoadStatus(state=LoadState.END)

    def come(self, key: Key) -> None:
        """A version that did not come does."""
        self._states[key] = LoadStatus(state=LoadState.AVAILABLE)

    def stop(self, grace_seconds: float) -> None:
        """End it."""
        del grace_seconds
        self.crash()

    def epitaph(self) -> str:
        """How it ended."""
        return "it ended"

    def resident_bytes(self) -> int | None:
        """10 MB a version, and what those that left have kept."""
        return 100_000_000 + 10_000_000 * len(self.loaded) + self._kept_bytes if self._running else None

    def reload(self, entries: Sequence[ModelEntry], *, deadline: float) -> None:
        """Replace the list."""
        self._check_running()
        if self.faults.hangs:
            self.faults.hangs -= 1
            self.faults.meanwhile()
            raise ReloadTimedOut(f"the reload did not return within {deadline:g} s")
        self._take(entries)
        self._check_running()
        for entry in entries:
            for label, version in entry.labels.items():
                unchanged = self._labels.get(entry.name, {}).get(label) == version
                if not unchanged and (entry.name, version) not in self.loaded:
                    raise Permanent(
                        f"Request to assign label to version {version} of model {entry.name}, "
                        "which is not currently available for inference"
                    )
        if not self.faults.ignores_labels:
            self._labels = {entry.name: dict(entry.labels) for entry in entries}

    def status(self, name: str, version: int) -> LoadStatus | None:
        """State of one version."""
        self._check_running()
        return self._states.get((name, version))

    def predict(self, name: str, inputs: Tensors, *, version: int | None, signature: str) -> Answer:
        """One output `y`, as long as the first input."""
        del signature
        self._check_running()
        wanted = self._labels.get(name, {}).get(STABLE) if version is None else version
        if wanted is None:
            raise Permanent(f"Unrecognized servable version label: {STABLE}")
        key = (name, wanted)
        if key not in self.loaded:
            raise Permanent(f"Servable not found for request: Specific({name}, {wanted})")
        if key in self.faults.refuses:
            raise Permanent(self.faults.refuses[key])
        rows = len(next(iter(inputs.values())))
        value = self.faults.answers.get(key, 1.0)
        return Answer(version=wanted, outputs={"y": np.full(rows, value, dtype=np.float32)})

    def _take(self, entries: Sequence[ModelEntry]) -> None:
        self.given.append(tuple(entries))
        listed = {(entry.name, version) for entry in entries for version in entry.versions}
        for key in self.loaded - listed:
            leaves = key not in self.faults.never_leaves
            self._states[key] = LoadStatus(state=LoadState.END if leaves else LoadState.UNLOADING)
            self._kept_bytes += self.faults.leaks
        for key in sorted(listed - self.loaded):
            if key in self.faults.crashes_on:
                self.crash()
                return
            self._states[key] = self._load(key)

    def _load(self, key: Key) -> LoadStatus:
        if key in self.faults.load_errors:
            return LoadStatus(state=LoadState.END, error=self.faults.load_errors[key])
        if key in self.faults.never_loads:
            return LoadStatus(state=LoadState.LOADING)
        return LoadStatus(state=LoadState.AVAILABLE)

    def _check_running(self) -> None:
        if not self._running or self.faults.deaf:
            raise ModelServerUnavailable("the model server is not running")
