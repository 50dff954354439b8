"""Feels the model server's pulse: one prediction by label every few seconds, a different model each time, and its REST.

A server can run and answer nothing, or lose a version, without anybody having asked it for a change.
"""

from __future__ import annotations

import logging
from typing import Final

from roost.contracts.desired import STABLE
from roost.contracts.errors import Permanent
from serving.node.loading import Parts

log = logging.getLogger(__name__)

_EVERY_SECONDS: Final = 5.0
#: No model's name: asked for its status where nothing is served, so that something is asked.
_NOBODY: Final = "roost.pulse"


class Pulse:
    """For the engine's thread."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._last = parts.clock.monotonic()
        self._asked = ""

    def beat(self) -> bool:
        """Ask, if that is due. Returns False where the server answered, and not as it should.

        Raises:
            ModelServerUnavailable: it did not answer.
        """
        now = self._parts.clock.monotonic()
        if now - self._last < _EVERY_SECONDS:
            return True
        answered = self._ask(self._next())
        self._parts.server.check_rest()
        # Only after an answer: a server that gives none is asked again at once.
        self._last = now
        return answered

    def _ask(self, name: str | None) -> bool:
        if name is None:
            self._parts.server.status(_NOBODY, 1)
            return True
        version = self._parts.holdings.labels[name][STABLE]
        try:
            self._parts.proof.by_label((name, version))
        except Permanent as error:
            log.warning("%s does not answer: %s", name, error, extra={"action": "pulse", "model": name})
            return False
        return True

    def _next(self) -> str | None:
        served = sorted(name for name, labels in self._parts.holdings.labels.items() if STABLE in labels)
        if not served:
            return None
        self._asked = next((name for name in served if name > self._asked), served[0])
        return self._asked
