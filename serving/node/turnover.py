"""Draining, and the replacement of the model server by a fresh one behind a drained gateway."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from roost.contracts.errors import NodeUnavailable
from roost.ports.clock import Clock
from serving.node.gateway import Gateway

log = logging.getLogger(__name__)

#: For load balancers and clients to see that the node is not ready, before connections are refused. Seconds.
_NOTICE: Final = 0.5
#: Requests that take longer than this are cut. Seconds.
_LONGEST_REQUEST: Final = 10.0


class Phase(StrEnum):
    """Where the node stands towards its clients."""

    #: Takes requests.
    SERVING = "serving"
    #: Not ready any more; finishes what it has.
    DRAINING = "draining"
    #: The model server was replaced; not back yet.
    RETURNING = "returning"


class Turnover:
    """SERVING ◀──undrain── DRAINING ──restart──▶ RETURNING ──served again──▶ SERVING, DRAINING by drain."""

    def __init__(self, gateway: Gateway, clock: Clock) -> None:
        self._gateway = gateway
        self._clock = clock
        self._drain_asked = False
        self._restart_asked = False
        self._drained_at = 0.0
        self._closed = False
        self.phase = Phase.SERVING

    @property
    def busy(self) -> bool:
        """Whether the next pass is due soon."""
        return self._restart_asked or self.phase is Phase.RETURNING

    def ask(self, *, restart: bool) -> None:
        """Drain, and with `restart` come back with a fresh model server. From any thread; `advance` does it."""
        self._restart_asked = self._restart_asked or restart
        self._drain_asked = True

    def ask_back(self) -> bool:
        """Take a drain back. Returns False where a restart is under way, after which the node is back anyway."""
        if self._restart_asked or self.phase is Phase.RETURNING:
            return False
        self._drain_asked = False
        return True

    def advance(self, replace: Callable[[], None]) -> None:
        """Do what is due; `replace` is called once no request is under way."""
        if self.phase is Phase.SERVING and self._drain_asked:
            self.begin()
        elif self.phase is Phase.DRAINING and not self._drain_asked:
            self._told(self._gateway.undrain)
            self.phase = Phase.SERVING
            log.info("taking requests again", extra={"action": "undrain"})
        if self.phase is Phase.DRAINING and self._restart_asked and self.quiet():
            self._drain_asked = self._restart_asked = False
            self._gateway.stop()
            self.phase = Phase.RETURNING
            replace()

    def returned(self) -> None:
        """The node serves its generation again."""
        if self.phase is Phase.RETURNING:
            self.phase = Phase.SERVING

    def gateway_came_up(self) -> None:
        """A fresh gateway does not know yet that the node is drained."""
        if self.phase is Phase.DRAINING:
            self._told(self._gateway.drain)

    def begin(self) -> None:
        """Stop being ready, and tell the gateway's clients."""
        self.phase, self._closed = Phase.DRAINING, False
        self._drained_at = self._clock.monotonic()
        log.info("draining", extra={"action": "drain"})
        self._told(self._gateway.drain)

    def quiet(self) -> bool:
        """Whether nothing is under way any more, or the time for it is over."""
        passed = self._clock.monotonic() - self._drained_at
        if passed < _NOTICE:
            return False
        if not self._closed:
            self._closed = True
            self._told(self._gateway.stop_listening)
        return passed > _LONGEST_REQUEST or self._idle()

    def _idle(self) -> bool:
        try:
            return self._gateway.in_flight() == 0
        except NodeUnavailable:
            return True

    def _told(self, call: Callable[[], None]) -> None:
        try:
            call()
        except NodeUnavailable as error:
            # A gateway that does not answer has no requests under way that draining could save.
            log.warning("%s", error, extra={"action": "drain"})
