"""The gateway as the node has it: Envoy, behind a small protocol."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from roost.contracts.errors import NodeUnavailable
from roost.ports.clock import Clock
from roost.telemetry import metrics
from serving.gateway.admin import GatewayAdmin
from serving.gateway.binary import BESIDE, command, find_envoy
from serving.gateway.config import GatewayConfig
from serving.gateway.live import BOOTSTRAP, LiveFiles
from serving.gateway.render import configuration
from serving.gateway.table import RoutingTable
from serving.node.child import BackOff
from serving.node.gateway_process import EnvoyBeside, GatewayProcess, OwnEnvoy
from serving.node.neighbours import Latencies

log = logging.getLogger(__name__)

_START_SECONDS: Final = 30.0
_GRACE: Final = 5.0
#: Until a gateway that did not follow a change of what is recorded is told again.
_RETRY: Final = 5.0


class Gateway(Protocol):
    """What stands between clients and the model server. The steering calls raise `NodeUnavailable`."""

    def tend(self) -> bool:
        """Start it where it is not running and that is due. Returns whether it takes requests."""

    def steer(self, table: RoutingTable) -> bool:
        """Answer by this table from now on, without ending a connection.

        Returns whether it does so now, or will as soon as it is up. Otherwise it is to be told again.
        """

    def drain(self) -> None:
        """Tell clients to go elsewhere, and go on answering."""

    def undrain(self) -> None:
        """Take back `drain`."""

    def latencies(self) -> Latencies:
        """How long the model server took, over all requests since this gateway started."""

    def stop_listening(self) -> None:
        """Refuse new connections."""

    def in_flight(self) -> int:
        """Requests under way."""

    def stop(self) -> None:
        """End it; `tend` starts a fresh one."""


class EnvoyGateway:
    """Envoy with the configuration that `serving.gateway` renders. For one thread, which lives as long as the node."""

    def __init__(self, config: GatewayConfig, envoy: str, clock: Clock) -> None:
        """Find Envoy: `envoy` as `ROOST_SERVING__ENVOY` has it.

        Raises:
            SettingsInvalid: there is none.
        """
        self._config = config
        self._process = self._run_by(envoy, clock)
        self._clock = clock
        self._admin = GatewayAdmin(config.admin_socket)
        #: For what is only worth knowing at once.
        self._statistics = GatewayAdmin(config.admin_socket, deadline=0.5)
        self._table = self._followed = RoutingTable()
        # The node's one thread waits for it, so a gateway that hangs gets little time.
        self._files = LiveFiles(config.work_dir, GatewayAdmin(config.admin_socket, deadline=1), clock)
        self._started = False
        self._back_off = BackOff()
        self._started_at = 0.0
        self._due = 0.0
        self._ready = False
        self._follow_at = 0.0
        #: Called, from another thread, when the child has ended.
        self.on_exit: Callable[[], None] = lambda: None
        #: Share of the predictions that is copied to be recorded, as it is to be now.
        self.recorded: Callable[[], float] = lambda: 0.0

    def tend(self) -> bool:
        """Start, watch, start again with back-off."""
        now = self._clock.monotonic()
        if not self._started:
            if now >= self._due:
                self._start(now)
            return False
        ended = self._process.ended()
        if ended is not None:
            self._failed("crashed", ended)
        elif not self._ready:
            self._ready = self._config.admin_socket.exists() and self._admin.ready() and self._caught_up()
            if not self._ready and now - self._started_at > _START_SECONDS:
                self._process.kill()
                self._failed("boot_hung", f"not ready after {_START_SECONDS:g} s; {self._process.last_words()}")
        elif self._followed.recorded != self.recorded() and now >= self._follow_at:
            self._follow_at = now + _RETRY
            self._table = replace(self._table, recorded=self.recorded())
            self._follow()
        return self._ready

    def steer(self, table: RoutingTable) -> bool:
        """Follow the table; a gateway that is not up yet starts with it."""
        self._table = replace(table, recorded=self.recorded())
        return self._follow() if self._ready else True

    def _follow(self) -> bool:
        table = self._table
        try:
            seconds = self._files.change(configuration(self._config, table))
        except (OSError, NodeUnavailable) as error:
            log.warning("the gateway does not follow: %s", error, extra={"action": "gateway_not_steered"})
            return False
        self._followed = table
        facts = {"action": "gateway_steered", "splits": len(table.splits), "mirrors": len(table.mirrors)}
        log.info("gateway follows its new table after %.0f ms", seconds * 1000, extra=facts)
        return True

    def drain(self) -> None:
        """Tell clients to go elsewhere."""
        self._admin.drain()

    def undrain(self) -> None:
        """Take back `drain`."""
        self._admin.undrain()

    def latencies(self) -> Latencies:
        """How long the model server took, over all requests since this gateway started."""
        return self._statistics.latencies()

    def stop_listening(self) -> None:
        """Refuse new connections."""
        self._admin.stop_listening()

    def in_flight(self) -> int:
        """Requests under way."""
        return self._admin.in_flight()

    def stop(self) -> None:
        """End it."""
        if self._started:
            self._process.stop(_GRACE)
        self._started, self._ready, self._due = False, False, 0.0

    def _run_by(self, envoy: str, clock: Clock) -> GatewayProcess:
        directory, admin_socket = self._config.work_dir, self._config.admin_socket
        file = directory / BOOTSTRAP

        def ended() -> None:
            self.on_exit()

        if envoy == BESIDE:
            return EnvoyBeside(file, admin_socket, clock, ended)
        words = command(find_envoy(envoy), file)
        return OwnEnvoy(words, directory.parent / "logs" / "gateway.log", admin_socket, ended)

    def _caught_up(self) -> bool:
        """Whether it took up what it started with, and follows what it was told meanwhile."""
        return self._files.taken_up() and (self._followed is self._table or self._follow())

    def _start(self, now: float) -> None:
        self._started_at, self._ready = now, False
        try:
            self._table = replace(self._table, recorded=self.recorded())
            self._files.start(configuration(self._config, self._table))
            self._followed = self._table
            self._process.start()
            self._started = True
        except OSError as error:
            self._failed("not_started", str(error))

    def _failed(self, cause: str, detail: str) -> None:
        now = self._clock.monotonic()
        self._due = now + self._back_off.failed(ran_seconds=now - self._started_at if self._ready else 0.0)
        self._started, self._ready = False, False
        metrics.NODE_RESTARTS.labels(child="gateway", cause=cause).inc()
        log.warning("gateway %s: %s", cause, detail, extra={"action": "gateway_replaced", "cause": cause})
