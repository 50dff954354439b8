"""Commands with what became of them. The deployer tells that in the event that closes a command; this joins the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from deployer.console import shapes, views
from deployer.console.sources import ConsoleLedger
from roost.contracts.events import OperationReported
from roost.ports.ledger import CommandRow

#: How far back events are looked through.
_EVENTS: Final = 500


def commands(ledger: ConsoleLedger, rows: Sequence[CommandRow]) -> tuple[views.CommandView, ...]:
    """The rows as the API has them, with `done` and the rollout concerned where a recent event says them."""
    told = _told(ledger) if any(row.done_at is not None for row in rows) else {}
    return tuple(_joined(shapes.command(row), told.get(row.event_id)) for row in rows)


def _told(ledger: ConsoleLedger) -> dict[str, Mapping[str, object]]:
    found: dict[str, Mapping[str, object]] = {}
    for row in ledger.recent_events(limit=_EVENTS):
        payload = row.event.data
        if isinstance(payload, OperationReported) and payload.what.startswith("command."):
            found[str(payload.facts.get("command_id"))] = payload.facts
    return found


def _joined(view: views.CommandView, told: Mapping[str, object] | None) -> views.CommandView:
    if told is None:
        return view
    done, rollout_id = told.get("done"), told.get("rollout_id")
    return view.model_copy(
        update={
            "done": done if isinstance(done, bool) else None,
            "rollout_id": view.rollout_id or (rollout_id if isinstance(rollout_id, str) else None),
        }
    )
