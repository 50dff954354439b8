"""The baseline of B1 and B2: three model servers that poll their configuration file, and a script that writes it.

The script is as good as a script can be: it copies the new version beside the old one and rewrites the file at once.
Nothing is checked, compared, proved or recorded; a model that answers NaN would be served like any other.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import bare
from bench.asking import Seen, Watch
from bench.bare import BareServer
from bench.figures import percentile
from bench.variants import Variant
from roost.contracts.ids import DEFAULT_MODEL, served_name

SERVERS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """One sample, seconds."""

    #: From the decision to serve it to the last server's first right answer.
    total: float
    #: First to last server.
    skew: float


def polled(
    variants: Sequence[Variant], *, models: int, count: int, poll: int, every: float, say: Callable[[str], None]
) -> list[Polled]:
    """`count` samples with the file polled every `poll` seconds, at instants that know nothing of the polls."""
    versions = {served_name(f"polled-{index:04d}", DEFAULT_MODEL): 1 for index in range(models)}
    names = list(versions)
    chance = random.Random(poll)
    with tempfile.TemporaryDirectory(prefix="roost-polled-", dir="/tmp") as directory:
        root = Path(directory)
        for number in range(SERVERS):
            for name in versions:
                bare.put(variants[0].files, root / f"server-{number}", name, 1)
        with bare.servers(SERVERS, root, versions, poll=poll) as servers:
            asked = bare.watch(servers)
            found = []
            for index in range(count):
                time.sleep(0.5 + chance.uniform(0, poll))
                variant, name = variants[(index // models + 1) % len(variants)], names[index % models]
                begun, seen = _sample(servers, versions, (variant, name, every, poll), asked)
                times = [one.at for one in seen.values()]
                found.append(Polled(total=max(times) - begun, skew=max(times) - min(times)))
                say(f"polled every {poll} s, {index + 1}/{count}: {found[-1].total:.3f} s, skew {found[-1].skew:.3f} s")
            asked.close()
            return found


def expected(measured: Sequence[Polled], *, measured_poll: int, poll: int, draws: int = 20_000) -> list[Polled]:
    """What another poll would give: computed, not measured.

    The servers' polls are not in step, so each waits a time uniform in 0 to `poll`; what a server needs after its poll
    is taken from the measured samples, as their median less the mean wait of the slowest of three.
    """
    waits_before = measured_poll * SERVERS / (SERVERS + 1)
    after = max(0.0, percentile([one.total for one in measured], 50) - waits_before)
    chance = random.Random(0)
    found = []
    for _ in range(draws):
        waits = [chance.uniform(0, poll) for _ in range(SERVERS)]
        found.append(Polled(total=max(waits) + after, skew=max(waits) - min(waits)))
    return found


def _sample(
    servers: Sequence[BareServer],
    versions: dict[str, int],
    case: tuple[Variant, str, float, int],
    asked: Watch,
) -> tuple[float, dict[str, Seen]]:
    variant, name, every, poll = case
    before = versions[name]
    versions[name] = before + 1
    begun = time.time()
    for server in servers:
        bare.put(variant.files, server.directory, name, versions[name])
    for server in servers:
        server.configure(versions)
    question = bare.question(name, variant, before)
    return begun, asked.first_answers(question, every=every, seconds=poll + 60.0)
