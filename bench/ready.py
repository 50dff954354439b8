"""Roost's half of B1 and B2: models sent through a running stack, one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from bench.driver import driver
from bench.options import Options
from bench.stack import Stack
from bench.variants import Variant
from bench.way import Way

#: What B1 runs: everything from the event on, and nothing of Airflow, the console or training.
PARTS: Final = ("model-consumer", "deployer", "front", "node-1", "node-2", "node-3", "canary-1")
#: As in production but for the bake, which would take ten minutes a model and is after the last measured instant.
POLICY: Final = "version: 1\nrules:\n  bake_seconds: 0.5\n"
#: Let the pools' write allowance (a burst of two, one a second) fill again: an event on a quiet fleet finds it full.
REST: Final = 3.0


def send_all(
    stack: Stack, variants: Sequence[Variant], options: Options, *, between: Callable[[int], None]
) -> list[Way]:
    """Retrainings in turn of served models, after each has had its first version.

    Of more models than samples the others are served beside them, and not retrained. `between` is called with the
    sample's number while the pools' write allowance fills again.
    """
    models = min(options.models, options.count)
    found: list[Way] = []
    with driver(stack.settings, every=options.every) as to:
        to.fill(variants[0], [f"other-{index:05d}" for index in range(options.models - models)], options.say)
        for index in range(models + options.count):
            customer = f"bench-{index % models:04d}"
            to.settle(customer)
            if index >= models:
                rested = time.monotonic() + REST
                between(index - models)
                time.sleep(max(0.5, rested - time.monotonic()))
            way = to.send(variants[(index // models) % len(variants)], customer, f"run-{index:05d}")
            kind = "first" if index < models else f"{len(found) + 1}/{options.count}"
            options.say(f"{customer} {kind}: {way.total:.3f} s, own {way.own:.3f}, skew {way.skew * 1000:.1f} ms")
            if index >= models:
                found.append(way)
    return found
