"""Where each version of each model stands, who may wait for it, and what the status API tells of it."""

import enum
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass

from serving.model_server.statuses import Code, StatusError


class State(enum.IntEnum):
    """The life of a version, by the numbers of `ModelVersionStatus.State`.

    START ──▶ LOADING ──▶ AVAILABLE ──▶ UNLOADING ──▶ END
                 └─────── error ───────────────────────▲
    """

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionState:
    """One version's state; `error` only at END, where None says that it was unloaded in order."""

    state: State
    error: StatusError | None = None
    #: Grows with every change on the board, so that a waiter can tell old news from new.
    sequence: int = 0

    @property
    def code(self) -> Code:
        """OK, or the code of the error that ended it."""
        return self.error.code if self.error else Code.OK


class StateBoard:
    """Every version's latest state. Ended versions stay on it, as in the official server. Safe for many threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._states: dict[str, dict[int, VersionState]] = {}
        self._sequence = 0
        #: What each waiter does at a change of the model named: by the time that it wakes, the next one may have come.
        self._waiting: list[Callable[[str], object]] = []
        self._closed = False

    def publish(self, name: str, version: int, state: State, error: StatusError | None = None) -> None:
        """Write down a change and wake those who wait for it."""
        with self._changed:
            self._sequence += 1
            versions = self._states.setdefault(name, {})
            versions[version] = VersionState(state=state, error=error, sequence=self._sequence)
            for look in self._waiting:
                look(name)
            self._changed.notify_all()

    def now(self) -> int:
        """The sequence number of the latest change."""
        with self._changed:
            return self._sequence

    def versions(self, name: str) -> dict[int, VersionState]:
        """The states of a model's versions, newest version first; empty for a name never seen."""
        with self._changed:
            return dict(sorted(self._states.get(name, {}).items(), reverse=True))

    def close(self) -> None:
        """Release every waiter: the server is going down."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_until_settled(
        self, names: Collection[str], since: int, *, any_end: bool = False
    ) -> dict[str, dict[int, VersionState]]:
        """Wait, without limit, until each model is settled: its newest version that came to an end of any kind tells.

        Only what happened after `since` counts. As officially a newest version that failed settles its model, although
        an older one may still load. An end without an error is the orderly unload of an earlier life of the name, and
        is passed over unless `any_end`.

        Returns those that failed, by name and version. Raises CANCELLED where the board is closed meanwhile.
        """
        settled: dict[str, tuple[int, VersionState]] = {}
        left = set(names)

        def look(name: str) -> None:
            # One model at a time: thousands that are awaited together change thousands of times.
            if name in left and (found := self._settled(name, since, any_end=any_end)):
                settled[name] = found
                left.remove(name)

        with self._changed:
            for name in names:
                look(name)
            self._waiting.append(look)
            self._changed.wait_for(lambda: self._closed or not left)
            self._waiting.remove(look)
            if self._closed:
                raise StatusError(Code.CANCELLED, "The server is shutting down.")
        failed = ((name, *settled[name]) for name in sorted(settled))
        return {name: {version: each} for name, version, each in failed if each.state is not State.AVAILABLE}

    def _settled(self, name: str, since: int, *, any_end: bool) -> tuple[int, VersionState] | None:
        for version, each in sorted(self._states.get(name, {}).items(), reverse=True):
            ended = each.state is State.END and (any_end or each.error is not None)
            if each.sequence > since and (ended or each.state is State.AVAILABLE):
                return version, each
        return None


def failure_text(failed: dict[str, dict[int, VersionState]]) -> str:
    """Say which models did not become available and why, in the official server's words."""
    parts = "".join(
        f"{{{{name: {name} version: {version}}}{f' due to error: {each.error}' if each.error else ''}}}, "
        for name, versions in failed.items()
        for version, each in versions.items()
    )
    return f"{len(failed)} model(s) did not become available: {{{parts}}}"
