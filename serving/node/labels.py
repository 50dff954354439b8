"""Moves the labels once what they name is proven, and takes from the server what nobody needs any more."""

from __future__ import annotations

import logging
from functools import partial
from typing import Final

from roost.contracts.acks import VersionState
from roost.contracts.desired import STABLE
from roost.contracts.errors import ModelServerUnavailable, Permanent
from serving.node.departures import Departures
from serving.node.holdings import Held
from serving.node.integrity import Key
from serving.node.loading import Parts
from serving.node.order import drop_spare, is_fallback

log = logging.getLogger(__name__)

#: A request that resolved a label just before it moved must still find the version. Seconds.
_LINGER: Final = 1.0
#: Seconds until a refused change of labels is tried again.
_RETRY: Final = 1.0

Labels = dict[str, dict[str, int]]


class Labeller:
    """Moves labels in one reload, and believes it only when a prediction by label says so."""

    def __init__(self, parts: Parts, departures: Departures) -> None:
        self._parts = parts
        self._departures = departures
        self._retry_at = 0.0
        self._moved_at = parts.clock.now()
        #: Why the labels are not as they could be, or None.
        self.error: str | None = None

    def move(self) -> bool:
        """Set what can be set. Returns whether anything changed.

        Raises:
            ReloadTimedOut: the server is wedged.
            ModelServerUnavailable: it is gone.
        """
        holdings = self._parts.holdings
        wanted = holdings.wanted_labels()
        if wanted == holdings.labels or self._parts.clock.monotonic() < self._retry_at:
            return False
        refusal = self._reload(wanted)
        self._moved_at = self._parts.clock.now()
        if refusal is not None:
            self._refused(refusal)
            return False
        moved = [
            (name, labels[STABLE])
            for name, labels in wanted.items()
            if STABLE in labels and holdings.labels.get(name, {}).get(STABLE) != labels[STABLE]
        ]
        self._accept(wanted, self._confirm(moved))
        self.error = None
        return True

    def unload(self) -> bool:
        """Take from the server what is neither wanted nor labelled, nor was `stable` a moment ago. Else as `move`."""
        holdings, now = self._parts.holdings, self._parts.clock.monotonic()
        for spare in drop_spare(holdings):
            self._parts.cache.released(spare.key)
        kept = holdings.kept()
        lingering = {key for key, left in holdings.left_stable.items() if now - left < _LINGER}
        gone = [
            held
            for held in holdings
            if held.loaded
            and held.key not in lingering
            and (held.state is VersionState.FAILED or not (held.wanted or held.key in kept))
        ]
        if not gone or now < self._retry_at:
            return False
        keys = {held.key for held in gone}
        entries = holdings.entries(
            self._parts.cache, lambda held: held.loaded and held.key not in keys, holdings.labels
        )
        mark = self._departures.mark()
        try:
            self._parts.server.reload(entries, deadline=self._parts.deadline)
        except Permanent as error:
            self._refused(str(error))
            return False
        self._forget(gone)
        self._departures.begin([held for held in gone if not held.wanted], mark)
        return True

    def _reload(self, labels: Labels) -> str | None:
        parts = self._parts
        try:
            entries = parts.holdings.entries(parts.cache, lambda held: held.loaded, labels)
            parts.server.reload(entries, deadline=parts.deadline)
        except Permanent as error:
            return str(error)
        return None

    def _confirm(self, moved: list[Key]) -> dict[Key, str | None]:
        answers = {key: self._parts.proofs.submit(partial(self._parts.proof.by_label, key)) for key in moved}
        outcomes: dict[Key, str | None] = {}
        gone: ModelServerUnavailable | None = None
        for key, answer in answers.items():
            try:
                answer.result()
                outcomes[key] = None
            except Permanent as error:
                outcomes[key] = str(error)
            except ModelServerUnavailable as error:
                gone = error
        if gone is not None:
            raise gone
        return outcomes

    def _accept(self, wanted: Labels, outcomes: dict[Key, str | None]) -> None:
        holdings = self._parts.holdings
        for (name, version), error in outcomes.items():
            if error is not None:
                # The label goes back where it was with the next move, since this version is no longer proven.
                holdings.versions[name, version].fail(f"does not answer by its label: {error}")
            elif holdings.stable.get(name) != version:
                self._flipped(name, version)
        for name in set(holdings.stable) - {name for name, labels in wanted.items() if STABLE in labels}:
            if is_fallback(holdings, name):
                continue
            del holdings.stable[name]
            holdings.flipped_at.pop(name, None)
            self._parts.notes.note("stable removed", name=name)
        holdings.labels = {name: dict(labels) for name, labels in wanted.items()}
        holdings.boot_labels = holdings.labels

    def _flipped(self, name: str, version: int) -> None:
        holdings = self._parts.holdings
        before = holdings.stable.get(name)
        if before is not None:
            holdings.left_stable[name, before] = self._parts.clock.monotonic()
        holdings.stable[name] = version
        holdings.flipped_at[name] = self._moved_at
        self._parts.notes.note("stable moved", holdings.versions[name, version])

    def _forget(self, gone: list[Held]) -> None:
        holdings = self._parts.holdings
        for held in gone:
            held.loaded = False
            holdings.left_stable.pop(held.key, None)
            if held.key in holdings.stable.items() and is_fallback(holdings, held.name):
                held.state = VersionState.LOADING
            elif not held.wanted:
                del holdings.versions[held.key]
                self._parts.cache.released(held.key)

    def _refused(self, refusal: str) -> None:
        self.error = f"the model server refused its configuration: {refusal}"
        self._retry_at = self._parts.clock.monotonic() + _RETRY
        log.warning("%s", self.error, extra={"action": "reload_refused"})
