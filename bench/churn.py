"""B11, churn: load, ask and unload more and more models in one model server, while a bystander is asked."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from bench import bare, variants
from bench.bare import BareServer
from bench.bystander import Bystander
from bench.figures import Grid, percentile
from bench.machine import machine
from bench.options import Options
from bench.report import Report
from bench.variants import Variant
from roost.adapters.tf_serving import LoadState, ModelServerClient
from roost.contracts.errors import RoostError
from serving.node.model_config import ModelEntry, render

#: A published report: one server took 600 models, and failed with 1,000.
PUBLISHED_LIMIT: Final = 600
BYSTANDER: Final = "bystander.default"
#: Times that each number is loaded and unloaded: memory that grows from one to the next is lost.
CYCLES: Final = 2
_BETWEEN_QUESTIONS: Final = 0.02
_DEADLINE: Final = 600.0
_REST: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """So many models, loaded, each asked once, and unloaded."""

    models: int
    load_seconds: float
    #: Models that were not AVAILABLE at the end of the load.
    lost: int
    #: Predictions that failed, or that another model's version answered.
    wrong: int
    unload_seconds: float
    #: Processor time of the server meanwhile, answers to the bystander and to who watches included.
    load_processor: float
    unload_processor: float
    #: Resident bytes of the server before, with all models, and after.
    before: int
    loaded: int
    after: int
    #: Of the bystander while models were loaded and unloaded: milliseconds a question, and how many failed.
    bystander_ms: Sequence[float]
    bystander_failed: int


def run(options: Options) -> list[Report]:
    """Measure the curve."""
    facts = machine()
    with tempfile.TemporaryDirectory(prefix="roost-artifact-", dir="/tmp") as directory:
        options.say("training a model in a process of its own")
        variant = variants.make(options.artifacts or Path(directory))[0]
        with _server(variant, max(options.churn)) as server:
            alone = _quiet(server, variant)
            cycles = [_cycle(server, variant, size, options.say) for size in options.churn for _ in range(CYCLES)]
    return [_report(facts, alone, cycles)]


@contextmanager
def _server(variant: Variant, models: int) -> Iterator[BareServer]:
    with tempfile.TemporaryDirectory(prefix="roost-churn-", dir="/tmp") as directory:
        root = Path(directory)
        bare.put(variant.files, root / "server-0", BYSTANDER, 1)
        for name in _names(models):
            _link(variant.files, root / "server-0" / "models" / name / "1")
        with bare.servers(1, root, {BYSTANDER: 1}, poll=None) as (server,):
            yield server


def _link(files: Path, target: Path) -> None:
    """A version of its own, whose files share the disk's blocks with all others."""
    for file in files.rglob("*"):
        if file.is_file():
            made = target / file.relative_to(files)
            made.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(file, made)
            except OSError:  # another file system
                made.write_bytes(file.read_bytes())


def _names(models: int) -> list[str]:
    return [f"churn-{index:05d}.default" for index in range(models)]


def _quiet(server: BareServer, variant: Variant) -> Sequence[float]:
    with _bystander(server, variant) as bystander:
        time.sleep(10)
    return _milliseconds(bystander)


@contextmanager
def _bystander(server: BareServer, variant: Variant) -> Iterator[Bystander]:
    """Fifty questions a second at most, by gRPC, to the one model that is not touched."""

    def ask() -> bool:
        client.predict(BYSTANDER, variant.question, version=1, signature="serving_default", deadline=_DEADLINE)
        return True

    client = ModelServerClient(server.target)
    try:
        with Bystander(ask=ask, pause=_BETWEEN_QUESTIONS) as bystander:
            yield bystander
    finally:
        client.close()


def _milliseconds(bystander: Bystander) -> Sequence[float]:
    return [seconds * 1000 for seconds in bystander.seconds]


def _cycle(server: BareServer, variant: Variant, models: int, say: Callable[[str], None]) -> Cycle:
    process, names = psutil.Process(server.pid), _names(models)
    before = process.memory_info().rss
    with _bystander(server, variant) as bystander:
        begun, used = time.perf_counter(), _used(process)
        _reload(server, [BYSTANDER, *names])
        load_seconds, load_processor = time.perf_counter() - begun, _used(process) - used
        lost = sum(_state(server, name) is not LoadState.AVAILABLE for name in names)
        wrong = sum(not _answers(server, variant, name) for name in names)
        loaded = process.memory_info().rss
        begun, used = time.perf_counter(), _used(process)
        _reload(server, [BYSTANDER])
        while any(_state(server, name) is not LoadState.END for name in reversed(names)):
            time.sleep(0.05)
        unload_seconds, unload_processor = time.perf_counter() - begun, _used(process) - used
    time.sleep(_REST)
    after = process.memory_info().rss
    say(f"{models} models: loaded in {load_seconds:.1f} s, unloaded in {unload_seconds:.1f} s, {lost + wrong} lost")
    return Cycle(
        models=models,
        load_seconds=load_seconds,
        lost=lost,
        wrong=wrong,
        unload_seconds=unload_seconds,
        load_processor=load_processor,
        unload_processor=unload_processor,
        before=before,
        loaded=loaded,
        after=after,
        bystander_ms=_milliseconds(bystander),
        bystander_failed=bystander.failed,
    )


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _reload(server: BareServer, names: Sequence[str]) -> None:
    entries = [ModelEntry(name=name, base_path=server.models / name, versions=(1,)) for name in names]
    server.client.reload(render(entries), deadline=_DEADLINE)


def _state(server: BareServer, name: str) -> LoadState | None:
    status = server.client.status(name, 1, deadline=_DEADLINE)
    return status.state if status else None


def _answers(server: BareServer, variant: Variant, name: str) -> bool:
    try:
        found = server.client.predict(
            name, variant.question, version=1, signature="serving_default", deadline=_DEADLINE
        )
    except RoostError:
        return False
    (scores,) = found.outputs.values()
    return np.allclose(scores.astype(np.float64).reshape(-1), variant.answer.reshape(-1), atol=1e-4)


def _report(facts: dict[str, str | int | float], alone: Sequence[float], cycles: Sequence[Cycle]) -> Report:
    lost = sum(cycle.lost + cycle.wrong for cycle in cycles)
    failed = sum(cycle.bystander_failed for cycle in cycles)
    most = max(cycle.models for cycle in cycles)
    return Report(
        program="B11",
        machine=facts,
        sizes={
            "models": ", ".join(str(cycle.models) for cycle in cycles[::CYCLES]),
            "cycles of each": CYCLES,
            "load threads": 4,
        },
        grids=[_curve(cycles), _neighbour(alone, cycles)],
        targets=[
            (f"no model lost of up to {most:,}", f"{lost} lost", lost == 0),
            ("no prediction of the bystander failed", f"{failed} failed", failed == 0),
            (f"more than the published {PUBLISHED_LIMIT}", f"{most:,} in one server", most > PUBLISHED_LIMIT),
        ],
        samples={"alone_ms": list(alone), "cycles": [asdict(cycle) for cycle in cycles]},
    )


def _curve(cycles: Sequence[Cycle]) -> Grid:
    mib = 1024 * 1024
    rows = tuple(
        (
            f"{cycle.models:,}",
            cycle.load_seconds,
            cycle.load_processor,
            cycle.load_seconds / cycle.models * 1000,
            (cycle.loaded - cycle.before) / cycle.models / mib,
            cycle.unload_seconds,
            cycle.unload_processor,
            cycle.before / mib,
            cycle.loaded / mib,
            cycle.after / mib,
            cycle.lost + cycle.wrong,
        )
        for cycle in cycles
    )
    return Grid(
        title="B11: churn in one model server",
        columns=(
            *("models", "load s", "CPU s", "ms a model", "MiB a model", "unload s", "CPU s"),
            *("before MiB", "loaded", "after", "lost"),
        ),
        rows=rows,
        notes=(
            "One reload lists them all; each is then asked once and must answer as it should; one reload drops them.",
            "CPU s: the server's processor time, whoever else keeps the machine busy.",
            "Each number is loaded and unloaded twice: what a second time adds to `after` is lost memory.",
        ),
    )


def _neighbour(alone: Sequence[float], cycles: Sequence[Cycle]) -> Grid:
    def row(name: str, times: Sequence[float], failed: int) -> tuple[str | float | int | None, ...]:
        return (name, len(times), percentile(times, 50), percentile(times, 99), max(times, default=0.0), failed)

    return Grid(
        title="B11: an untouched model meanwhile, milliseconds",
        columns=("while", "n", "p50", "p99", "max", "failed"),
        rows=(
            row("nothing else happens", alone, 0),
            *(row(f"{cycle.models:,} come and go", cycle.bystander_ms, cycle.bystander_failed) for cycle in cycles),
        ),
        notes=("Loads are not paced here: the node does that. Two cores carry loads, answers and whoever asks.",),
    )
