"""Spans of rollouts: each phase, and the generations that carry them to the nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from roost.contracts.rollout import Phase, Rollout
from roost.contracts.trace_context import GENERATION_KEY, PLACES_KEY, packed
from roost.telemetry import tracing

#: Phases that say that what came before them failed.
_BAD: Final = frozenset({Phase.REJECTED, Phase.ROLLING_BACK, Phase.HALTED})


def facts(rollout: Rollout) -> dict[str, tracing.Attribute]:
    """What every span of a rollout says of it."""
    return {
        "roost.rollout_id": rollout.id,
        "roost.customer": rollout.customer,
        "roost.model": rollout.model,
        "roost.version": rollout.version,
    }


def phase_over(before: Rollout, after: Rollout) -> None:
    """Tell of the phase that ended with a transition, at the place that was named as parent while it lasted."""
    if before.place is None or before.traceparent is None:
        return
    said: dict[str, tracing.Attribute] = {"roost.next_phase": after.phase.value, "roost.reason": after.reason}
    tracing.write(
        tracing.Finished(
            name=f"rollout {before.phase.value}",
            traceparent=before.place,
            parent=before.traceparent,
            began=before.entered_at,
            ended=after.entered_at,
            attributes=facts(after) | said,
            error=after.reason if after.phase in _BAD else None,
        )
    )


@contextmanager
def generation(pool: str, rollouts: Sequence[Rollout]) -> Iterator[Mapping[str, str]]:
    """A span around the write of a generation; gives what the object's metadata shall carry to the nodes.

    A generation of one rollout belongs to that rollout's trace. One that carries several belongs to none of them: it
    has a trace of its own, which links to each.
    """
    places = {row.id: row.place for row in rollouts if row.place}
    if not (tracing.on() and places):
        yield {}
        return
    every = list(places.values())
    alone = every[0] if len(every) == 1 else None
    said: dict[str, tracing.Attribute] = {"roost.pool": pool, "roost.rollouts": len(rollouts)}
    with tracing.span("generation write", alone, said, links=() if alone else every) as written:
        yield {GENERATION_KEY: written.traceparent or "", PLACES_KEY: packed(places)}
