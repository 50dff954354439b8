"""B5: how much slower an untouched model answers while its node loads others.

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.bystander import Bystander
from bench.figures import grid, percentile
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
_QUIET_SECONDS: Final = 3.0
_TARGET: Final = 1.5
_BUILD_SECONDS: Final = 240


def run(*, rounds: int = 5, loads: int = 8) -> Report:
    """Measure: in each of `rounds`, a stretch of quiet and then `loads` new models, one generation."""
    facts = machine()
    home = Path(tempfile.mkdtemp(prefix="roost-b5-", dir="/tmp"))
    try:
        with _node(home) as (node, shelf):
            quiet, loading, seconds, failed = _measured(node, shelf, rounds, loads)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    ratio = percentile(loading, 99) / percentile(quiet, 99)
    middle = percentile(loading, 50) / percentile(quiet, 50)
    shown = {
        "nothing loads": [each * 1000 for each in quiet],
        f"{loads} models load": [each * 1000 for each in loading],
    }
    return Report(
        program="B5",
        machine=facts,
        sizes={"rounds": rounds, "models a round": loads, "asked every ms": _PAUSE * 1000},
        grids=[
            grid(
                "B5: an untouched model's answers, through the gateway, milliseconds",
                "while",
                shown,
                (
                    f"{loads} models took {statistics.median(seconds):.2f} s (median) from desired to proved.",
                    f"p99 {ratio:.2f} times that of quiet, p50 {middle:.2f} times; {failed} answers failed.",
                ),
            )
        ],
        targets=[
            (f"p99 while loading ≤ {_TARGET} × that of quiet", f"{ratio:.2f} ×", ratio <= _TARGET),
            ("no failed answer", f"{failed}", failed == 0),
        ],
        samples={"quiet": quiet, "loading": loading, "loads": seconds},
    )


def _measured(
    node: RunningNode, shelf: Shelf, rounds: int, loads: int
) -> tuple[Sequence[float], Sequence[float], Sequence[float], int]:
    names = [[f"n{turn}-{number}.default" for number in range(loads)] for turn in range(rounds)]
    for name in (name for turn in names for name in turn):
        shelf.put(name, 1, "one")
    served = {_ASKED: ([1], {"stable": 1})}
    quiet: list[float] = []
    loading: list[float] = []
    seconds: list[float] = []
    with Bystander(ask=lambda: node.answer(_ASKED) == 1.0, pause=_PAUSE) as asker:
        time.sleep(1)
        for turn in names:
            began = time.monotonic()
            time.sleep(_QUIET_SECONDS)
            loads_began = time.monotonic()
            served |= {name: ([1], {"stable": 1}) for name in turn}
            node.settle(shelf.desire(served))
            ended = time.monotonic()
            quiet += asker.between(began, loads_began)
            loading += asker.between(loads_began, ended)
            seconds.append(ended - loads_began)
    return quiet, loading, seconds, asker.failed


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
