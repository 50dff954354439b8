"""MS: what the drop-in model server makes of one core, and what a model costs it.

A call's cost is the server's processor time: the client's, and that of whatever else runs beside it, is not in it. Held
against it, measured in turns with it: a bare loop over the same run (the limit), the same with everything
around it but the network, and both doors with nothing behind them.
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import psutil

from bench import bare, variants
from bench.figures import Grid
from bench.machine import machine
from bench.model_server_limit import BODY, REQUEST
from bench.options import Options
from bench.report import Report
from bench.variants import Variant
from roost.adapters.tf_messages import model_management_pb2, predict_pb2, tensor_from_array
from serving.node.model_config import ModelEntry, render
from tests.integration.model_server.running import DROP_IN, RunningServer

MODELS: Final = 100
NAME: Final = "bench"
IN_FLIGHT: Final = 8
_CALLS: Final = 1_500
_BARE_SECONDS: Final = 1.5
_PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"
_NOTHING: Final = (sys.executable, "-m", "bench.model_server_limit", "nothing")
_UP_SECONDS: Final = 60.0
_REST_SECONDS: Final = 2.0

#: Microseconds of processor time a call, by what is called; one sample a round.
Costs = dict[str, list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Models:
    """What so many models cost."""

    load_seconds: float
    unload_seconds: float
    before: int
    loaded: int
    after: int


@dataclass(slots=True, kw_only=True)
class _Asked:
    """Both doors of one server, and the questions for them."""

    server: RunningServer
    request: bytes
    body: bytes
    channel: grpc.Channel = field(init=False)

    def __post_init__(self) -> None:
        self.channel = grpc.insecure_channel(f"unix:{self.server.socket_path}")

    def by_grpc(self) -> None:
        """So many calls, some at a time."""
        method, waiting = self.channel.unary_unary(_PREDICT), []
        for _ in range(_CALLS):
            waiting.append(method.future(self.request))
            if len(waiting) == IN_FLIGHT:
                waiting.pop(0).result()
        for call in waiting:
            call.result()

    def by_rest(self) -> None:
        """So many calls, one after the other."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.rest_port)
        for _ in range(_CALLS):
            connection.request("POST", f"/v1/models/{NAME}:predict", self.body)
            answer = connection.getresponse()
            answer.read()
            if answer.status != http.client.OK:
                raise RuntimeError(f"REST answered {answer.status}")
        connection.close()

    def cost(self, calls: Callable[[], None]) -> float:
        """Microseconds of the server's processor time a call."""
        process = psutil.Process(self.server.process.pid)
        begun = process.cpu_times()
        calls()
        ended = process.cpu_times()
        return (ended.user + ended.system - begun.user - begun.system) / _CALLS * 1e6


def run(options: Options) -> list[Report]:
    """Measure."""
    facts = machine()
    with tempfile.TemporaryDirectory(prefix="roost-ms-", dir="/tmp") as directory:
        root = Path(directory)
        options.say("training a model in a process of its own")
        variant = variants.make(options.artifacts or root / "artifact")[0]
        (root / "questions").mkdir()
        _write_questions(root / "questions", variant)
        rounds = max(3, options.count // 6)
        costs = _costs(root, variant, rounds, options.say)
        options.say(f"{MODELS} models come and go")
        models = _models(root, variant)
    return [_report(facts, costs, models, rounds)]


def _write_questions(directory: Path, variant: Variant) -> None:
    request = predict_pb2.PredictRequest(model_spec={"name": NAME})
    row: dict[str, Any] = {}
    for name, value in variant.question.items():
        request.inputs[name].CopyFrom(tensor_from_array(value))
        (one,) = value.tolist()
        row[name] = one.decode() if isinstance(one, bytes) else one
    (directory / REQUEST).write_bytes(request.SerializeToString())
    (directory / BODY).write_text(json.dumps({"instances": [row]}))


def _costs(root: Path, variant: Variant, rounds: int, say: Callable[[str], None]) -> Costs:
    request, body = ((root / "questions" / name).read_bytes() for name in (REQUEST, BODY))
    bare.put(variant.files, root, NAME, 1)
    found: Costs = {}
    with ExitStack() as stack:
        served = stack.enter_context(_running(root / "served", DROP_IN, _flags(root / "models" / NAME)))
        nothing = stack.enter_context(_running(root / "nothing", _NOTHING, ()))
        doors = {
            "drop-in server": _Asked(server=served, request=request, body=body),
            "nothing behind it": _Asked(server=nothing, request=request, body=body),
        }
        for number in range(rounds + 1):
            say(f"round {number} of {rounds}")
            sample = {
                f"{api}: {name}": asked.cost(calls) for name, asked in doors.items() for api, calls in _ways(asked)
            }
            sample |= _bare(variant, root / "questions")
            if number:  # the first warms up
                for name, value in sample.items():
                    found.setdefault(name, []).append(value)
    return found


def _ways(asked: _Asked) -> tuple[tuple[str, Callable[[], None]], ...]:
    return ("grpc", asked.by_grpc), ("rest", asked.by_rest)


def _bare(variant: Variant, questions: Path) -> Mapping[str, float]:
    """Microseconds a call in a loop of its own."""
    command = [sys.executable, "-m", "bench.model_server_limit", "bare", str(variant.files), str(questions)]
    done = subprocess.run([*command, str(_BARE_SECONDS)], check=True, capture_output=True, text=True)
    return {name: seconds * 1e6 for name, seconds in json.loads(done.stdout).items()}


def _flags(base_path: Path) -> tuple[str, ...]:
    return f"--model_name={NAME}", f"--model_base_path={base_path}"


@contextmanager
def _running(directory: Path, program: tuple[str, ...], flags: tuple[str, ...]) -> Iterator[RunningServer]:
    server = RunningServer(directory, *flags, program=program)
    try:
        yield server.wait_until_ready()
    finally:
        server.stop()


def _models(root: Path, variant: Variant) -> _Models:
    """Load so many models with four threads, unload them, and look at the memory."""
    names = [f"m{number:03}.default" for number in range(MODELS)]
    for name in (NAME, *names):
        bare.put(variant.files, root / "many", name, 1)
    entries = [ModelEntry(name=name, base_path=root / "many" / "models" / name, versions=(1,)) for name in names]
    flags = ("--num_load_threads=4", *_flags(root / "many" / "models" / NAME))
    with _running(root / "m", DROP_IN, flags) as server:
        one = ModelEntry(name=NAME, base_path=root / "many" / "models" / NAME, versions=(1,))
        before = _settled(server)
        load = _timed(lambda: _reload(server, [one, *entries]))
        loaded = _settled(server)

        def unload() -> None:
            _reload(server, [one])
            end = time.monotonic() + _UP_SECONDS
            while any("END" not in server.states(name).values() for name in names) and time.monotonic() < end:
                time.sleep(0.01)

        return _Models(
            load_seconds=load, unload_seconds=_timed(unload), before=before, loaded=loaded, after=_settled(server)
        )


def _reload(server: RunningServer, entries: list[ModelEntry]) -> None:
    request = model_management_pb2.ReloadConfigRequest(config=render(entries))
    server.models.HandleReloadConfigRequest(request, timeout=300)


def _settled(server: RunningServer) -> int:
    """Resident bytes, when what was done has had time to be given back."""
    time.sleep(_REST_SECONDS)
    return int(psutil.Process(server.process.pid).memory_info().rss)


def _timed(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def _report(facts: dict[str, str | int | float], costs: Costs, models: _Models, rounds: int) -> Report:
    limit = statistics.median(costs["the run alone"])
    rows = []
    for name in sorted(costs, key=lambda each: statistics.median(costs[each])):
        median = statistics.median(costs[name])
        rows.append((name, min(costs[name]), median, max(costs[name]), 1e6 / median, limit / median * 100))
    mega = 1e6
    kept = (models.after - models.before) / mega
    return Report(
        program="MS",
        machine=facts,
        sizes={"rounds": rounds, "calls a round": _CALLS, "gRPC calls at a time": IN_FLIGHT, "models": MODELS},
        grids=[
            Grid(
                title="MS: processor time a call, microseconds",
                columns=("what", "least", "median", "most", "calls/s of one core", "% of the run alone"),
                rows=tuple(rows),
                notes=(
                    "The server's own processor time; the client's is not in it.",
                    "nothing behind it: the same two doors, with an answer that is there already.",
                ),
            ),
            Grid(
                title=f"MS: {MODELS} models",
                columns=("what", "all", "each"),
                rows=(
                    ("load, s (4 threads)", models.load_seconds, models.load_seconds / MODELS),
                    ("unload, s", models.unload_seconds, models.unload_seconds / MODELS),
                    (
                        "memory, MB",
                        (models.loaded - models.before) / mega,
                        (models.loaded - models.before) / mega / MODELS,
                    ),
                    ("kept after unloading, MB", kept, kept / MODELS),
                ),
                notes=(f"The server with one model: {models.before / mega:.0f} MB.",),
            ),
        ],
        samples={"costs": costs},
    )
