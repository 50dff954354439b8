"""Keeps the model server running: starts it, gives up on a boot that hangs, starts it again with back-off."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from enum import StrEnum

from roost.ports.clock import Clock
from roost.telemetry import metrics
from serving.node.child import BackOff
from serving.node.model_config import ModelEntry
from serving.node.model_server import ModelServer, ServerState

log = logging.getLogger(__name__)

#: TensorFlow's import on a busy machine; and what a real server takes for each model at its start (10 loads a second).
_BOOT_SECONDS, _BOOT_SECONDS_PER_VERSION = 120.0, 1.0
#: For its REST API to come up after gRPC: a moment, unless its port is taken. Seconds.
_REST_SECONDS = 10.0
#: For requests under way when a server is replaced on purpose. Seconds.
_GRACE = 10.0


class Tended(StrEnum):
    """What one look found."""

    #: Not there yet, or waiting for its next start.
    DOWN = "down"
    #: It has just gone, whatever it had loaded with it.
    LOST = "lost"
    #: It takes calls since now, with the models that it was started on.
    CAME_UP = "came_up"
    #: It goes on taking calls.
    UP = "up"


class Supervisor:
    """Owns the life of one `ModelServer`. For one thread, which must live as long as the node."""

    def __init__(self, server: ModelServer, clock: Clock, boot: Callable[[], Sequence[ModelEntry]]) -> None:
        """`boot` says what to start on.

        After a boot that failed, the next one starts on nothing at all: the official server ends, or hangs, where
        one entry of its file is bad, and then would never come up.
        """
        self._server = server
        self._clock = clock
        self._boot = boot
        self._back_off = BackOff()
        self._up = False
        self._started_at: float | None = None
        self._boot_deadline = 0.0
        self._due = 0.0
        self._boot_failed = False
        #: Since when it takes calls by gRPC, and not by REST.
        self._hindered_at: float | None = None
        #: What it was last started on.
        self.booted: tuple[ModelEntry, ...] = ()
        #: Times that it was started again.
        self.restarts = 0
        #: Why it was last replaced, None while it has not been.
        self.cause: str | None = None

    def tend(self) -> Tended:
        """Look, and do what is due. Never waits long."""
        now = self._clock.monotonic()
        if self._started_at is None:
            if now >= self._due:
                self._start(now)
            return Tended.DOWN
        state = self._server.state()
        if state is ServerState.DOWN:
            return self._gone("crashed" if self._up else "boot_failed", self._server.epitaph())
        if state is ServerState.STARTING:
            return self._starting(now, now - self._started_at)
        if self._up:
            return Tended.UP
        self._up, self._boot_failed = True, False
        log.info("model server is up", extra={"action": "model_server_up", "pid": self._server.pid})
        return Tended.CAME_UP

    def _starting(self, now: float, seconds: float) -> Tended:
        hindrance = self._server.hindrance()
        if hindrance is None:
            self._hindered_at = None
        elif self._hindered_at is None:
            self._hindered_at, self.cause = now, f"starting: {hindrance}"
        elif now - self._hindered_at > _REST_SECONDS:
            self._server.stop(0)
            lost = self._gone("no_rest", hindrance)
            # Its models are not to blame: the next one is started on them again.
            self._boot_failed = False
            return lost
        if now > self._boot_deadline:
            self._server.stop(0)
            return self._gone("boot_hung", f"not up after {seconds:.0f} s")
        return Tended.DOWN

    def replace(self, cause: str, detail: str, *, at_once: bool) -> Tended:
        """End it, and have it started again. `at_once`: it is not expected to listen any more, and gets no grace."""
        self._server.stop(0 if at_once else _GRACE)
        return self._gone(cause, detail)

    def seconds_to_next(self) -> float | None:
        """Until `tend` should be called though nothing woke us; None where nothing is due."""
        if self._started_at is None:
            return max(0.0, self._due - self._clock.monotonic())
        return None if self._up else 0.05

    def stop(self) -> None:
        """End it for good."""
        self._server.stop(_GRACE)

    def _start(self, now: float) -> None:
        self.booted = () if self._boot_failed else tuple(self._boot())
        versions = sum(len(entry.versions) for entry in self.booted)
        self._boot_deadline = now + _BOOT_SECONDS + _BOOT_SECONDS_PER_VERSION * versions
        self._started_at = now
        try:
            self._server.start(self.booted)
        except OSError as error:
            # A full disk, or no memory for one more process: it may pass, and the node goes on saying so.
            self._gone("not_started", str(error))

    def _gone(self, cause: str, detail: str) -> Tended:
        ran = self._clock.monotonic() - (self._started_at or 0.0) if self._up else 0.0
        self._due = self._clock.monotonic() + self._back_off.failed(ran_seconds=ran)
        self._boot_failed = not self._up and bool(self.booted)
        self._started_at, self._up, self._hindered_at = None, False, None
        self.restarts += 1
        self.cause = f"{cause}: {detail}"
        metrics.NODE_RESTARTS.labels(child="model_server", cause=cause).inc()
        log.warning("model server %s: %s", cause, detail, extra={"action": "model_server_replaced", "cause": cause})
        return Tended.LOST
