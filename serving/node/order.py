"""What is loaded next, and what only waits: where a pool unloads first, a name has its old version or its new one.

old answers ──▶ new is on disk ──▶ old leaves ──▶ new loads ──▶ new answers
                                                     └─ fails ──▶ old loads again
"""

from __future__ import annotations

from collections.abc import Collection

from roost.contracts.acks import VersionState
from roost.contracts.desired import LoadingOrder
from serving.node.holdings import Held, Holdings


def to_load(holdings: Holdings, leaving: Collection[str]) -> list[Held]:
    """What may be loaded now. `leaving` are served names of which the model server still unloads something."""
    waiting = [held for held in holdings if held.on_disk]
    if holdings.desired.loading is LoadingOrder.LOAD_FIRST:
        return waiting
    taken = {*leaving, *(name for name, _ in holdings.making_room())}
    hoped_for = {held.name for held in holdings if held.wanted and held.state is not VersionState.FAILED}
    return [held for held in waiting if held.name not in (taken if held.wanted else hoped_for)]


def is_fallback(holdings: Holdings, name: str) -> bool:
    """Whether what answered under that name makes room or has made it, and comes again if its successor fails."""
    first = holdings.desired.loading is LoadingOrder.UNLOAD_FIRST
    held = holdings.versions.get((name, holdings.stable.get(name, 0)))
    return first and held is not None and not held.wanted and holdings.desired.model(name) is not None


def drop_spare(holdings: Holdings) -> list[Held]:
    """Forget what is neither wanted nor loaded nor answers: a fallback whose successor is proved. Returns it."""
    answering = holdings.stable.items()
    spare = [held for held in holdings if not (held.wanted or held.loaded or held.key in answering)]
    for held in spare:
        del holdings.versions[held.key]
        holdings.left_stable.pop(held.key, None)
    return spare
