"""The gateway as a child: Envoy, behind a small protocol."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

from roost.ports.clock import Clock
from roost.telemetry import metrics
from serving.gateway.admin import GatewayAdmin
from serving.gateway.binary import command, find_envoy
from serving.gateway.config import GatewayConfig
from serving.gateway.render import render
from serving.node.child import BackOff, Child
from serving.node.files import write_atomically

log = logging.getLogger(__name__)

_START_SECONDS: Final = 30.0
_GRACE: Final = 5.0


class Gateway(Protocol):
    """What stands between clients and the model server. The steering calls raise `NodeUnavailable`."""

    def tend(self) -> bool:
        """Start it where it is not running and that is due. Returns whether it takes requests."""

    def drain(self) -> None:
        """Tell clients to go elsewhere, and go on answering."""

    def stop_listening(self) -> None:
        """Refuse new connections."""

    def in_flight(self) -> int:
        """Requests under way."""

    def stop(self) -> None:
        """End it; `tend` starts a fresh one."""


class EnvoyGateway:
    """Envoy with the configuration that `serving.gateway` renders. For one thread, which lives as long as the node."""

    def __init__(self, config: GatewayConfig, envoy: str, clock: Clock) -> None:
        """Find Envoy.

        Raises:
            SettingsInvalid: there is none.
        """
        self._config = config
        self._program = find_envoy(envoy)
        self._clock = clock
        self._admin = GatewayAdmin(config.admin_socket)
        self._child: Child | None = None
        self._back_off = BackOff()
        self._started_at = 0.0
        self._due = 0.0
        self._ready = False
        #: Called, from another thread, when the child has ended.
        self.on_exit: Callable[[], None] = lambda: None

    def tend(self) -> bool:
        """Start, watch, start again with back-off."""
        now = self._clock.monotonic()
        if self._child is None:
            if now >= self._due:
                self._start(now)
            return False
        if self._child.exit_code is not None:
            self._failed("crashed", f"exit code {self._child.exit_code}; {self._child.last_words()}")
        elif not self._ready:
            self._ready = self._config.admin_socket.exists() and self._admin.ready()
            if not self._ready and now - self._started_at > _START_SECONDS:
                self._child.kill()
                self._failed("boot_hung", f"not ready after {_START_SECONDS:g} s; {self._child.last_words()}")
        return self._ready

    def drain(self) -> None:
        """Tell clients to go elsewhere."""
        self._admin.drain()

    def stop_listening(self) -> None:
        """Refuse new connections."""
        self._admin.stop_listening()

    def in_flight(self) -> int:
        """Requests under way."""
        return self._admin.in_flight()

    def stop(self) -> None:
        """End it."""
        if self._child is not None:
            self._child.terminate(_GRACE)
        self._child, self._ready, self._due = None, False, 0.0

    def _start(self, now: float) -> None:
        file = self._config.work_dir / "envoy.json"
        log_file = self._config.work_dir.parent / "logs" / "gateway.log"
        self._started_at, self._ready = now, False
        try:
            write_atomically(file, render(self._config).encode())
            self._config.admin_socket.unlink(missing_ok=True)
            self._child = Child(command(self._program, file), log=log_file, on_exit=self.on_exit)
        except OSError as error:
            self._failed("not_started", str(error))

    def _failed(self, cause: str, detail: str) -> None:
        now = self._clock.monotonic()
        self._due = now + self._back_off.failed(ran_seconds=now - self._started_at if self._ready else 0.0)
        self._child, self._ready = None, False
        metrics.NODE_RESTARTS.labels(child="gateway", cause=cause).inc()
        log.warning("gateway %s: %s", cause, detail, extra={"action": "gateway_replaced", "cause": cause})
