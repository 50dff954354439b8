"""A gateway in memory, with the faults that tests need."""

from __future__ import annotations

from roost.contracts.errors import NodeUnavailable
from serving.gateway.table import RoutingTable


class InMemoryGateway:
    """A `Gateway` that is up when it should be."""

    def __init__(self) -> None:
        self.running = False
        self.draining = False
        self.listening = False
        self.requests = 0
        #: Upper bound in seconds to answers that took so long.
        self.answered: dict[float, int] = {}
        self.starts = 0
        self.table = RoutingTable()
        self._died = False
        #: It takes no table.
        self.stubborn = False

    def crash(self) -> None:
        """It dies: the next look finds that, and the one after it starts it again."""
        self.stop()
        self._died = True

    def tend(self) -> bool:
        """Up at once, unless it has just died."""
        if self._died:
            self._died = False
            return False
        if not self.running:
            self.running = self.listening = True
            self.draining = False
            self.starts += 1
        return self.running

    def steer(self, table: RoutingTable) -> bool:
        """Follow at once."""
        if not self.stubborn:
            self.table = table
        return not self.stubborn

    def drain(self) -> None:
        """Tell clients to go."""
        self._check()
        self.draining = True

    def undrain(self) -> None:
        """Take it back."""
        self._check()
        self.draining = False

    def latencies(self) -> dict[float, int]:
        """What the test has set."""
        self._check()
        return dict(self.answered)

    def stop_listening(self) -> None:
        """Refuse new connections."""
        self._check()
        self.listening = False

    def in_flight(self) -> int:
        """What the test has set."""
        self._check()
        return self.requests

    def stop(self) -> None:
        """End it."""
        self.running = self.listening = False

    def _check(self) -> None:
        if not self.running:
            raise NodeUnavailable("the gateway is not running")
