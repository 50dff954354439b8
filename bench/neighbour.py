"""B5: how much slower an untouched model answers while its node loads another one, or eight at once.

A real node (model server, gateway, cache, object store): one model is asked through the gateway at a steady pace while
other names join the desired state, in turns with stretches in which nothing is loaded.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.bystander import Bystander
from bench.figures import Grid, grid, percentile
from bench.machine import machine
from bench.report import Report
from roost.adapters.gcs import open_store
from roost.settings import StorageSettings
from tests.integration.node import tiny_models
from tests.integration.node.conftest import StoreProcess
from tests.integration.node.world import RunningNode, Shelf
from tests.parts import free_port

_ASKED: Final = "ua.default"
_PAUSE: Final = 0.005
_LEAST_QUIET: Final = 0.5
#: New models in the larger generations.
_BURST: Final = 8
_TARGET: Final = 1.5
_BUILD_SECONDS: Final = 240


@dataclass(slots=True, kw_only=True)
class _Found:
    """Seconds of the answers while nothing loaded and while something did, and of each generation until its proof."""

    quiet: list[float] = field(default_factory=list)
    loading: list[float] = field(default_factory=list)
    proved: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def p99(self) -> float:
        """Times the p99 of quiet."""
        return percentile(self.loading, 99) / percentile(self.quiet, 99)


def run(*, single: int = 60, bursts: int = 10) -> Report:
    """Measure `single` generations of one new model each, then `bursts` of eight, each after a stretch of quiet."""
    facts = machine()
    home = Path(tempfile.mkdtemp(prefix="roost-b5-", dir="/tmp"))
    try:
        with _node(home) as (node, shelf):
            measured = _Measured(node, shelf)
            one, many = measured.turns(single, 1), measured.turns(bursts, _BURST)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    failed = one.failed + many.failed
    return Report(
        program="B5",
        machine=facts,
        sizes={"generations of one": single, "generations of eight": bursts, "asked every ms": _PAUSE * 1000},
        grids=[_shown("another model loads", one), _shown(f"{_BURST} other models load at once", many)],
        targets=[
            (f"p99 while another loads ≤ {_TARGET} × that of quiet", f"{one.p99:.2f} ×", one.p99 <= _TARGET),
            ("no failed answer", f"{failed}", failed == 0),
        ],
        samples={"one": _samples(one), "many": _samples(many)},
    )


def _shown(what: str, found: _Found) -> Grid:
    middle = percentile(found.loading, 50) / percentile(found.quiet, 50)
    samples = {"nothing loads": found.quiet, what: found.loading}
    return grid(
        f"B5: an untouched model's answers, through the gateway, while {what}; milliseconds",
        "while",
        {name: [each * 1000 for each in seconds] for name, seconds in samples.items()},
        (
            f"From desired to proved: {statistics.median(found.proved):.2f} s (median of {len(found.proved)}).",
            f"p99 {found.p99:.2f} times that of quiet, p50 {middle:.2f} times; {found.failed} answers failed.",
        ),
    )


def _samples(found: _Found) -> dict[str, list[float]]:
    return {"quiet": found.quiet, "loading": found.loading, "proved": found.proved}


class _Measured:
    """One node to which ever more models are given."""

    def __init__(self, node: RunningNode, shelf: Shelf) -> None:
        self._node, self._shelf = node, shelf
        self._served: dict[str, tuple[list[int], dict[str, int]]] = {_ASKED: ([1], {"stable": 1})}

    def turns(self, count: int, loads: int) -> _Found:
        """`count` turns of quiet, then of `loads` new models in one generation."""
        names = [f"n{len(self._served) + number}.default" for number in range(count * loads)]
        for name in names:
            self._shelf.put(name, 1, "one")
        found = _Found()
        with Bystander(ask=lambda: self._node.answer(_ASKED) == 1.0, pause=_PAUSE) as asker:
            time.sleep(1)
            for turn in range(count):
                self._turn(names[turn * loads : (turn + 1) * loads], asker, found)
        found.failed = asker.failed
        return found

    def _turn(self, names: list[str], asker: Bystander, found: _Found) -> None:
        began = time.monotonic()
        # As long as the loads will take, about: the machine's bad moments fall on both alike.
        time.sleep(max(_LEAST_QUIET, found.proved[-1] if found.proved else 0.0))
        loads_began = time.monotonic()
        self._served |= {name: ([1], {"stable": 1}) for name in names}
        self._node.settle(self._shelf.desire(self._served))
        ended = time.monotonic()
        found.quiet += asker.between(began, loads_began)
        found.loading += asker.between(loads_began, ended)
        found.proved.append(ended - loads_began)


@contextmanager
def _node(home: Path) -> Iterator[tuple[RunningNode, Shelf]]:
    models = home / "models"
    models.mkdir()
    command = [sys.executable, tiny_models.__file__, str(models)]
    subprocess.run(command, check=True, capture_output=True, timeout=_BUILD_SECONDS)
    store = StoreProcess(home, free_port())
    store.start()
    bucket = f"roost-{uuid.uuid4().hex[:8]}"
    shelf = Shelf(open_store(StorageSettings(endpoint=store.endpoint, bucket=bucket)), models)
    state = home / "state"
    state.mkdir()
    node = RunningNode(state, store.endpoint, bucket)
    try:
        shelf.put(_ASKED, 1, "one")
        shelf.desire({_ASKED: ([1], {"stable": 1})})
        node.start()
        node.await_ready()
        yield node, shelf
    finally:
        node.stop()
        node.control.close()
        node.predictor.close()
        store.stop()
