"""What the server does, whichever way a request comes in: reload, find a version, tell the states."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from serving.model_server.configuration import ModelList, accept, check_platform
from serving.model_server.disk_source import DiskSource, Polling
from serving.model_server.giving_back import GivingBack
from serving.model_server.lifecycle import Lifecycle
from serving.model_server.loading import Loader
from serving.model_server.retries import LoadingPolicy
from serving.model_server.rigour import Hazard
from serving.model_server.runtime import give_back
from serving.model_server.servable import Servable
from serving.model_server.serving_map import ModelRequest, ServingVersions, check_labels
from serving.model_server.statuses import Code, StatusError, invalid_argument, not_found
from serving.model_server.version_states import State, StateBoard, VersionState, failure_text

_LOG = logging.getLogger(__name__)
#: Between two looks at whether anybody still waits for a reload that waits for its turn.
_GLANCE_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreOptions:
    """How the models are found and loaded, and which of the official server's hazards are switched on."""

    polling: Polling
    loading: LoadingPolicy
    allow_labels_for_unavailable: bool
    hazards: frozenset[Hazard] = frozenset()


class ServerCore:
    """The models, their versions and labels, and the one list that says which of them are wanted."""

    def __init__(self, options: CoreOptions, loader: Loader) -> None:
        self._options = options
        self._loader = loader
        self._board = StateBoard()
        self._serving: ServingVersions[Servable] = ServingVersions()
        self._lifecycle = Lifecycle(
            load=loader.load,
            serving=self._serving,
            board=self._board,
            policy=options.loading,
            memory=GivingBack(give_back),
        )
        self._source = DiskSource(polling=options.polling, on_wanted=self._lifecycle.want)
        self._list: ModelList | None = None
        self._reloading = threading.Lock()

    def start(self, config: Any) -> None:
        """Begin to serve a config; returns when each model of it has a version that serves. Raises StatusError."""
        self._lifecycle.start()
        self.reload(config)

    def stop(self) -> None:
        """Load and unload no more, and release whoever waits for a load; what is loaded still answers."""
        self._source.stop()
        self._board.close()
        self._lifecycle.stop()

    def reload(self, config: Any, *, still_wanted: Callable[[], bool] | None = None) -> None:
        """Replace the whole list by that of a ModelServerConfig, and wait until the models new by name serve.

        One reload runs at a time; one that had to wait is dropped with CANCELLED where nobody waits for it any more.
        A known name's new version is not waited for. Raises StatusError: what was done until then is not undone, as in
        the official server; a list whose labels or platforms are refused is the one that the next is compared with.
        """
        with self._turn(still_wanted):
            accepted = accept(self._list, config)
            if accepted is None:
                _LOG.info("Taking no action for empty config.")
                return
            self._list = accepted
            self._label(accepted)
            self._apply(accepted)

    @contextmanager
    def _turn(self, still_wanted: Callable[[], bool] | None) -> Iterator[None]:
        """Wait for the reloads that came before. Raises CANCELLED where nobody waits for this one any more.

        Whoever gives up must give its thread back too: a client that tried a hung server again and again would take
        them all, and no prediction would find one.
        """
        heedless = still_wanted is None or Hazard.ABANDONED_RELOADS in self._options.hazards
        while not self._reloading.acquire(timeout=-1 if heedless else _GLANCE_SECONDS):
            self._check_wanted(still_wanted)
        try:
            if not heedless:
                self._check_wanted(still_wanted)
            yield
        finally:
            self._reloading.release()

    @staticmethod
    def _check_wanted(still_wanted: Callable[[], bool] | None) -> None:
        if still_wanted is not None and not still_wanted():
            raise StatusError(Code.CANCELLED, "The client gave up while an earlier reload was under way.")

    def _apply(self, accepted: ModelList) -> None:
        _LOG.info("Adding/updating models.")
        for entry in accepted.models.values():
            check_platform(entry)
            _LOG.info(" (Re-)adding model: %s", entry.name)
        new = accepted.models.keys() - self._source.names
        since = self._board.now()
        self._source.follow(accepted.models)
        awaited = {name for name in new if not self._lifecycle.serves(name)}
        any_end = Hazard.ENDED_IS_FAILURE in self._options.hazards
        failed = self._board.wait_until_settled(awaited, since, any_end=any_end)
        if failed:
            raise StatusError(Code.UNKNOWN, failure_text(failed))
        _LOG.info("Finished adding/updating models")
        if any(entry.has_logging for entry in accepted.models.values()):
            raise invalid_argument("No request-logger-creator provided.")

    def _label(self, accepted: ModelList) -> None:
        """Take the labels over, before anything is loaded: a label cannot come in one reload with its version."""
        labels = {name: entry.labels for name, entry in accepted.models.items() if entry.labels}
        check_labels(
            labels,
            current=self._serving.labels,
            states={name: self._board.versions(name) for name in labels},
            allow_unavailable=self._options.allow_labels_for_unavailable,
        )
        self._serving.labels = labels

    @contextmanager
    def servable(self, request: ModelRequest) -> Iterator[Servable]:
        """Hold the version that a request asks for. Raises NOT_FOUND, or INVALID_ARGUMENT for name or label."""
        found = self._serving.find(request)
        while not found.acquire():
            # It began to close between the look-up and now; by then the map knows better.
            found = self._serving.find(request)
        try:
            yield found
        finally:
            found.release()

    def states(self, request: ModelRequest) -> dict[int, VersionState]:
        """The state of the version that a request numbers, or of all of the model's, newest first. Raises NOT_FOUND.

        A label is not looked at, as officially: it gives all.
        """
        versions = self._board.versions(request.name)
        if request.version is not None:
            if request.version not in versions:
                raise not_found(f"Could not find version {request.version} of model {request.name}")
            return {request.version: versions[request.version]}
        if not versions:
            raise not_found(f"Could not find any versions of model {request.name}")
        return versions

    def is_serving(self) -> bool:
        """Whether every model of the list has a version AVAILABLE."""
        return all(
            any(each.state is State.AVAILABLE for each in self._board.versions(name).values())
            for name in self._source.names
        )
