"""B9: `roost up`, seconds to ready and memory, against Airflow alone."""

from __future__ import annotations

from typing import Final

from bench.figures import Grid
from bench.machine import machine
from bench.options import Options
from bench.report import Report
from bench.stack import Stack, running

AIRFLOW: Final = ("airflow-api", "airflow-scheduler", "airflow-dags")
_SECONDS: Final = 60.0
_MEGABYTES: Final = 6000.0


def run(options: Options) -> list[Report]:
    """Start Airflow alone, then everything, each in a new directory: a first start, the database made anew."""
    facts = machine()
    options.say("Airflow alone")
    with running(only=AIRFLOW) as stack:
        alone = stack
    options.say(f"up after {alone.seconds:.1f} s, {_memory(alone):,.0f} MB; now everything")
    with running() as stack:
        whole = stack
    options.say(f"up after {whole.seconds:.1f} s, {_memory(whole):,.0f} MB")
    return [report(facts, whole, alone)]


def report(facts: dict[str, str | int | float], whole: Stack, alone: Stack) -> Report:
    """The comparison as tables."""
    rows = (
        ("roost up: everything", whole.seconds, _memory(whole), len(whole.document.parts)),
        (
            "Airflow alone (its three processes and PostgreSQL)",
            alone.seconds,
            _memory(alone),
            len(alone.document.parts),
        ),
        ("everything, of Airflow alone", whole.seconds / alone.seconds, _memory(whole) / _memory(alone), None),
    )
    parts = tuple((part.name, part.seconds, part.memory_mb) for part in whole.document.parts)
    memory = _memory(whole)
    return Report(
        program="B9",
        machine=facts,
        sizes={"n": "1 first start each, in a new directory"},
        grids=[
            Grid(
                title="B9: from `roost up` to everything ready",
                columns=("what", "seconds", "MB (PSS)", "parts"),
                rows=rows,
                notes=("Memory is the proportional set size: what processes share counts once.",),
            ),
            Grid(title="B9: by part", columns=("part", "seconds from its own start", "MB (PSS)"), rows=parts),
        ],
        targets=[
            (f"≤ {_SECONDS:g} s", f"{whole.seconds:.1f} s", whole.seconds <= _SECONDS),
            (f"≤ {_MEGABYTES / 1000:g} GB", f"{memory / 1000:.2f} GB", memory <= _MEGABYTES),
        ],
        samples={"whole": whole.document.model_dump(), "alone": alone.document.model_dump()},
    )


def _memory(stack: Stack) -> float:
    return sum(part.memory_mb or 0.0 for part in stack.document.parts)
