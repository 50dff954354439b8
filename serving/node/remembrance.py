"""Remembers on disk what the node was proved to serve, so that the next life starts its server on it."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import ValidationError

from roost.contracts.desired import DesiredModel, DesiredState
from roost.contracts.incremental import Encoder
from serving.node.cache import DiskCache
from serving.node.files import write_atomically
from serving.node.holdings import Facts, Good, Holdings, desired_model

log = logging.getLogger(__name__)


class Remembrance:
    """One file, in the form of a desired state: proved versions only, and the labels that the server had accepted."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._kept: Good | None = None
        #: Entries as last made, with what of: a flip of one model changes one.
        self._made: dict[str, tuple[Facts, DesiredModel]] = {}
        self._encoder = Encoder()

    def recall(self, holdings: Holdings, cache: DiskCache, *, now: float) -> None:
        """Begin with what an earlier life of the node had proved."""
        try:
            holdings.seed(DesiredState.decoded(self._file.read_bytes()), cache, now=now)
        except FileNotFoundError:
            return
        except (OSError, ValidationError) as error:
            log.warning("%s is not used: %s", self._file, error, extra={"action": "recall"})

    def keep(self, holdings: Holdings) -> None:
        """Remember what is proved now. A disk that refuses costs the next start some time, and nothing else."""
        good = holdings.good()
        if good == self._kept:
            return
        try:
            write_atomically(self._file, self._encoder.encoded(self._as_desired(good, holdings.desired)))
        except OSError as error:
            log.warning("%s is not kept: %s", self._file, error.strerror, extra={"action": "keep_good"})
            return
        self._kept = good

    def _as_desired(self, good: Good, like: DesiredState) -> DesiredState:
        made = self._made
        self._made = {
            name: made[name] if name in made and made[name][0] == facts else (facts, desired_model(name, *facts))
            for name, facts in good.items()
        }
        empty = DesiredState(pool=like.pool, generation=like.generation)
        return empty.holding(tuple(model for _, model in self._made.values()))
