"""B8: what the gateway adds to a prediction.

One client asks the same upstream in several ways, in turns, in one run: directly, through a bare Envoy (routes only),
through the gateway as it is by default, and through the gateway with everything on: a token that is bound to a
customer, limits of what it may name, a rate for each customer, a split between two labels, an access log. The upstream
answers at once with what it got, so that what is left is the way. Client, gateway and upstream share the machine's
cores: compare the ways with each other, not with other machines.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np

from bench import gateway_parts
from bench.figures import Grid
from bench.gateway_ways import IN_FLIGHT, Way, a_request, place, ways
from bench.machine import machine
from bench.processor import processor_seconds
from bench.report import Report

_WARM_UP: Final = 50
_COLUMNS: Final = (
    "API",
    "way",
    "p50",
    "p95",
    "p99",
    "over direct",
    "over bare",
    "µs of Envoy",
    f"calls/s, {IN_FLIGHT} at a time",
    "of bare",
)


def run(*, calls: int = 50, rounds: int = 60) -> Report:
    """Measure: `calls` per way, API and round; `rounds` turns that the ways take, one after the other."""
    facts = machine()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="roost-b8-", dir="/tmp")))
        at = place(directory, stack)
        compared = ways(at, stack)
        measured = _measured(compared, calls, rounds)
        parts = gateway_parts.grid(at, calls=calls * 6, rounds=max(2, rounds // 3))
    rows = [_row(api, name, measured) for api in ("grpc", "rest") for name in (way.name for way in compared)]
    gateway = {str(row["api"]): row for row in rows if row["way"] == "gateway, all on"}
    return Report(
        program="B8",
        machine=facts,
        sizes={"n a row": calls * rounds, "rounds": rounds},
        grids=[
            Grid(
                title="B8: what the gateway adds to a prediction, milliseconds",
                columns=_COLUMNS,
                rows=tuple(tuple(row.values()) for row in rows),
                notes=(
                    "One client, one call at a time; client, gateway and upstream share the cores.",
                    "over: a way's median less the other's of the same round; of that the median of all rounds.",
                    "µs of Envoy: its processor time a call, which other programs beside it hardly change.",
                ),
            ),
            parts,
        ],
        targets=_targets(gateway),
        samples={"rows": rows},
    )


def _targets(gateway: dict[str, dict[str, str | float | None]]) -> list[tuple[str, str, bool]]:
    found = []
    for api, row in gateway.items():
        for column, limit in (("over_direct_ms", 0.5), ("over_bare_ms", 0.2)):
            value = float(row[column] or 0.0)
            found.append(
                (f"{api}: {column.replace('_', ' ')[:-3]} ≤ {limit} ms p50", f"{value:.3f} ms", value <= limit)
            )
    rate = float(gateway["grpc"]["of_bare_rate"] or 0.0)
    return [*found, ("calls per second ≥ 80 % of a bare Envoy's", f"{rate:.0%}", rate >= 0.8)]


def _measured(compared: list[Way], calls: int, rounds: int) -> dict[tuple[str, str], list[float]]:
    """Seconds of each call by API and way; ``many`` holds calls per second."""
    row = {"distance": 1400.0, "hour": 17.0, "carrier": "UA", "origin": "EWR"}
    as_json, as_proto = json.dumps({"instances": [row] * 8}).encode(), a_request()
    measured: dict[tuple[str, str], list[float]] = {}
    for turn in range(rounds + 1):
        # Nobody is always the one who comes after the same other.
        for way in compared[turn % len(compared) :] + compared[: turn % len(compared)]:
            for api, one, body in (("grpc", way.by_grpc, as_proto), ("rest", way.by_rest, as_json)):
                before = processor_seconds(way.pid) if way.pid else 0.0
                seconds = _timed(one, body, calls if turn else _WARM_UP)
                if turn:
                    measured.setdefault((api, way.name), []).extend(seconds)
                    measured.setdefault((f"{api} rounds", way.name), []).append(statistics.median(seconds))
                if turn and way.pid:
                    spent = (processor_seconds(way.pid) - before) / calls
                    measured.setdefault((f"{api} envoy", way.name), []).append(spent)
            if turn:
                measured.setdefault(("many", way.name), []).append(way.many_by_grpc(as_proto, calls))
    return measured


def _timed(one: Callable[[bytes], None], body: bytes, calls: int) -> list[float]:
    seconds = []
    for _ in range(calls):
        start = time.perf_counter()
        one(body)
        seconds.append(time.perf_counter() - start)
    return seconds


def _row(api: str, name: str, measured: dict[tuple[str, str], list[float]]) -> dict[str, str | float | None]:
    def at(way: str, percent: int) -> float:
        return float(np.percentile(measured[api, way], percent)) * 1000

    def over(other: str) -> float:
        pairs = zip(measured[f"{api} rounds", name], measured[f"{api} rounds", other], strict=True)
        return statistics.median(one - two for one, two in pairs) * 1000

    rate = statistics.median(measured["many", name])
    spent = measured.get((f"{api} envoy", name))
    return {
        "api": api,
        "way": name,
        "p50_ms": at(name, 50),
        "p95_ms": at(name, 95),
        "p99_ms": at(name, 99),
        "over_direct_ms": over("direct"),
        "over_bare_ms": over("bare envoy"),
        "envoy_us": statistics.median(spent) * 1e6 if spent else None,
        "calls_per_second": rate if api == "grpc" else None,
        "of_bare_rate": rate / statistics.median(measured["many", "bare envoy"]) if api == "grpc" else None,
    }
