"""What each part of the gateway costs: Envoy's processor time a call, with the chain of filters grown step by step."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc

from bench import gateway_ways
from bench.figures import Grid
from bench.gateway_ways import Place
from bench.processor import processor_seconds
from serving.gateway.render import bootstrap
from tests.integration.gateway.running import started

_IN_FLIGHT: Final = 16
#: What is added, and the filters of the gRPC door that it is, by the ends of their names.
_STEPS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("its routes, limits and timeouts", ()),
    ("trace id and networks", ("header_to_metadata", "rbac")),
    ("tokens", ("jwt_authn",)),
    ("the body in one piece", ("buffer",)),
    ("the script: name, label, split", ("lua",)),
    ("rates of customers", ("local_ratelimit",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    name: str
    channel: grpc.Channel
    pid: int


def grid(place: Place, *, calls: int, rounds: int) -> Grid:
    """Measure by gRPC: `calls` a step and round, `_IN_FLIGHT` at a time."""
    with ExitStack() as stack:
        steps = [stack.enter_context(step) for step in _steps(place)]
        spent: dict[str, list[float]] = {step.name: [] for step in steps}
        for turn in range(rounds + 1):
            for step in steps:
                before = processor_seconds(step.pid)
                _ask(step.channel, place.token, calls if turn else calls // 4)
                if turn:
                    spent[step.name].append((processor_seconds(step.pid) - before) / calls * 1e6)
    rows, last = [], 0.0
    for name, found in spent.items():
        # What runs beside it only ever adds, so the quieter turns say more than the middle one.
        now = statistics.quantiles(found, n=4)[0]
        rows.append((name, now, now - last))
        last = now
    return Grid(
        title=f"B8: where Envoy's processor time goes, µs a gRPC call, {_IN_FLIGHT} at a time",
        columns=("with everything up to", "µs", "more than before"),
        rows=tuple(rows),
        notes=(
            f"The lowest quarter of {rounds} turns of {calls} calls. A core carries 1,000,000 / µs calls a second.",
        ),
    )


def _steps(place: Place) -> Iterator[Any]:
    yield _started(place, "a bare Envoy", gateway_ways.bare)
    kept: list[str] = ["router"]
    for name, added in _STEPS:
        kept += added
        yield _started(place, name, _only(tuple(kept), log=False))
    yield _started(place, "the access log", _only(tuple(kept), log=True))


@contextmanager
def _started(place: Place, name: str, text: Callable[[Any], str]) -> Iterator[_Step]:
    config = place.configured(f"part {name}".replace(":", "").replace(",", ""), place.settings)
    with started(config, text(config), flush_ms=gateway_ways.FLUSH_MS) as running:
        yield _Step(name=name, channel=running.channel, pid=running.process.pid)


def _only(kept: Sequence[str], *, log: bool) -> Callable[[Any], str]:
    """The gateway with everything on, less the filters that are not listed."""

    def text(config: Any) -> str:
        document = json.loads(json.dumps(bootstrap(config, gateway_ways.TABLE)))
        for listener in document["static_resources"]["listeners"][:2]:
            manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
            filters = [each for each in manager["http_filters"] if each["name"].rpartition(".")[2] in kept]
            manager["http_filters"] = filters
            if not log:
                manager.pop("access_log", None)
        return json.dumps(document)

    return text


def _ask(channel: grpc.Channel, token: str, calls: int) -> None:
    method, body = channel.unary_unary(gateway_ways.PREDICT), gateway_ways.a_request()
    metadata, waiting = [("authorization", f"Bearer {token}")], []
    for _ in range(calls):
        waiting.append(method.future(body, metadata=metadata))
        if len(waiting) == _IN_FLIGHT:
            waiting.pop(0).result()
    for call in waiting:
        call.result()
