"""B1, ready to serving, and B2, skew: Roost, the bare work, and servers that poll their configuration file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bench import limit, polled, variants
from bench.figures import Grid, bars, grid, percentile
from bench.limit import Bare
from bench.machine import machine
from bench.options import Options
from bench.polled import Polled
from bench.ready import PARTS, POLICY, REST, send_all
from bench.report import Report
from bench.stack import running
from bench.way import STEPS, Way

#: Seconds between two looks of the servers at their file: those that are waited for, and one that is computed.
POLLS: Final = (1, 5)
COMPUTED_POLL: Final = 60
#: Samples of the longer polls: each takes its poll's time.
_LONG_POLLS: Final = 15
_SKEW: Final = 0.050
_OWN: Final = (0.5, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All samples of one run."""

    machine: dict[str, str | int | float]
    ways: Sequence[Way]
    bare: Sequence[Bare]
    #: By the poll's seconds.
    polled: Mapping[int, Sequence[Polled]]


def run(options: Options) -> list[Report]:
    """Measure once; B1 and B2 are two looks at it."""
    measured = _measured(options, options.say)
    sizes = {
        "served models": options.models,
        "n": len(measured.ways),
        "nodes": 3,
        "bare n": len(measured.bare),
        "asked every ms": options.every * 1000,
    }
    reports = []
    if "B1" in options.wanted:
        reports.append(_b1(measured, sizes))
    if "B2" in options.wanted:
        reports.append(_b2(measured, sizes))
    return reports


def _measured(options: Options, say: Callable[[str], None]) -> Measured:
    facts = machine()
    with tempfile.TemporaryDirectory(prefix="roost-artifact-", dir="/tmp") as directory:
        say("training two models in a process of their own")
        pair = variants.make(options.artifacts or Path(directory))
        say(f"starting {', '.join(PARTS)} and what they need")
        with running(only=PARTS, policy=POLICY) as stack:
            say(f"up after {stack.seconds:.0f} s")
            with limit.bench(stack.settings, pair, models=options.models) as bare:
                # In turns with Roost, so that whatever else this machine does meets both alike.
                ways = send_all(stack, pair, options, between=lambda index: bare.sample() if index % 2 == 0 else None)
        found = {}
        for poll in POLLS if options.baseline else ():
            count = options.count if poll == min(POLLS) else min(options.count, _LONG_POLLS)
            found[poll] = polled.polled(
                pair, models=options.models, count=count, poll=poll, every=options.every, say=say
            )
    return Measured(machine=facts, ways=ways, bare=bare.samples, polled=found)


def _b1(measured: Measured, sizes: Mapping[str, object]) -> Report:
    ways = measured.ways
    own = [way.own for way in ways]
    p50, p99 = percentile(own, 50), percentile(own, 99)
    return Report(
        program="B1",
        machine=measured.machine,
        sizes=sizes,
        grids=[_steps(ways), _whole(measured), *([_against(measured)] if measured.polled else [])],
        chart=_chart(ways),
        targets=[
            (f"own share p50 ≤ {_OWN[0]} s", f"{p50:.3f} s", p50 <= _OWN[0]),
            (f"own share p99 ≤ {_OWN[1]} s", f"{p99:.3f} s", p99 <= _OWN[1]),
        ],
        samples={
            "ways": [asdict(way) for way in ways],
            "bare": [asdict(one) for one in measured.bare],
            "polled": {str(poll): [asdict(one) for one in found] for poll, found in measured.polled.items()},
        },
    )


def _steps(ways: Sequence[Way]) -> Grid:
    by_step = {step: [way.steps[step] for way in ways] for step in STEPS}
    own = {step: [way.own_by_step[step] for way in ways] for step in STEPS}
    rows = tuple(
        (
            step,
            *(percentile(by_step[step], percent) for percent in (50, 95, 99)),
            *(percentile(own[step], percent) for percent in (50, 95, 99)),
        )
        for step in STEPS
    )
    return Grid(
        title="B1: ready to serving by step, seconds",
        columns=("step", "p50", "p95", "p99", "own p50", "own p95", "own p99"),
        rows=rows,
        notes=(
            "consume: publishing begins → the row exists. copy: → STORED. vet: → VETTED. gate: → CANARY.",
            "canary: → PROMOTING (loaded there, four checks). load: → the flip is written to the desired state.",
            "flip: → the last node's first right answer through its gateway, as a client sees it.",
            "own: the step without the work that nobody is spared, which the next table lists.",
        ),
    )


def _chart(ways: Sequence[Way]) -> str:
    own = {step: percentile([way.own_by_step[step] for way in ways], 50) for step in STEPS}
    whole = {step: percentile([way.steps[step] for way in ways], 50) for step in STEPS}
    drawn = bars({step: (whole[step] - own[step], own[step]) for step in STEPS})
    return f"the median of each step; █ work that nobody is spared, ░ Roost's own share\n{drawn}"


def _whole(measured: Measured) -> Grid:
    ways, bare = measured.ways, measured.bare
    over = percentile([way.total for way in ways], 50) - percentile([one.total for one in bare], 50)
    return grid(
        f"B1: the whole, {len(ways)} retrainings, {REST:g} s apart, seconds",
        "what",
        {
            "event → every node answers": [way.total for way in ways],
            "  of it: copying": [way.copying for way in ways],
            "  of it: canary's load": [way.canary_load for way in ways],
            "  of it: the checks": [way.checking for way in ways],
            "  of it: slowest node's load": [way.node_load for way in ways],
            "Roost's own share": [way.own for way in ways],
            "last answer → LIVE (after the whole)": [way.prove for way in ways],
            "limit: the same work, bare": [one.total for one in bare],
            "  limit: copying": [one.copying for one in bare],
            "  limit: canary's load": [one.canary_load for one in bare],
            "  limit: canary's requests": [one.asking for one in bare],
            "  limit: three loads at a time": [one.node_load for one in bare],
        },
        notes=(
            "The parts as Roost's own transitions and nodes recorded them; the limit measured in turns with them.",
            f"Stricter, median over median: {over:.3f} s above the limit, with what a node adds to a bare load.",
        ),
    )


def _against(measured: Measured) -> Grid:
    found = {"Roost, checked and proved": [way.total for way in measured.ways]}
    found |= {f"file polled every {poll} s": [one.total for one in these] for poll, these in measured.polled.items()}
    found[f"file polled every {COMPUTED_POLL} s, COMPUTED"] = [one.total for one in _computed(measured)]
    return grid(
        "B1: against servers that poll their configuration file, seconds",
        "from decision to every server's answer",
        found,
        notes=(
            "The baseline copies the files from local disk, checks nothing, proves nothing and has no canary.",
            f"{COMPUTED_POLL} s is computed: three uniform waits, and what was measured after the poll at 1 s.",
        ),
    )


def _b2(measured: Measured, sizes: Mapping[str, object]) -> Report:
    recorded = [way.skew * 1000 for way in measured.ways]
    found = {
        "Roost, as its nodes recorded it": recorded,
        "Roost, as a client saw it": [way.observed_skew * 1000 for way in measured.ways],
    }
    found |= {
        f"file polled every {poll} s, as a client saw it": [one.skew * 1000 for one in these]
        for poll, these in measured.polled.items()
    }
    if measured.polled:
        found[f"file polled every {COMPUTED_POLL} s, COMPUTED"] = [one.skew * 1000 for one in _computed(measured)]
    p99 = percentile(recorded, 99)
    return Report(
        program="B2",
        machine=measured.machine,
        sizes=sizes,
        grids=[grid("B2: first to last node on the new version, milliseconds", "what", found)],
        targets=[(f"recorded skew p99 ≤ {_SKEW * 1000:.0f} ms", f"{p99:.1f} ms", p99 <= _SKEW * 1000)],
        samples={"recorded_ms": recorded},
    )


def _computed(measured: Measured) -> list[Polled]:
    fastest = min(measured.polled)
    return polled.expected(measured.polled[fastest], measured_poll=fastest, poll=COMPUTED_POLL)
