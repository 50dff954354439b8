"""What was sent against what is there: nothing lost, and each customer's events in their order, repetitions aside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from consumers.loop import identity, opened
from roost.contracts.cloudevents import Event
from roost.ports.event_bus import Delivery


def order_of(deliveries: Iterable[Delivery]) -> dict[str, list[str]]:
    """Each customer's events by their ids, as the first of each stands in the log. Raises `InvalidEvent`."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for delivery in deliveries:
        event = opened(delivery)
        found[event.subject].setdefault(identity(event))
    return {customer: list(ids) for customer, ids in found.items()}


def sent_order(events: Iterable[Event]) -> dict[str, list[str]]:
    """Each customer's events by their ids, as they were sent."""
    found: dict[str, list[str]] = defaultdict(list)
    for event in events:
        found[event.subject].append(identity(event))
    return found


def assert_same(sent: Mapping[str, Sequence[str]], seen: Mapping[str, Sequence[str]]) -> None:
    """Nobody's history lacks an event, has one that nobody sent, or has two the other way round."""
    for customer in sorted({*sent, *seen}):
        wanted, there = list(sent.get(customer, ())), list(seen.get(customer, ()))
        lost, foreign = sorted(set(wanted) - set(there)), sorted(set(there) - set(wanted))
        assert not lost, f"{customer} lost {len(lost)} of {len(wanted)} events: {lost[:5]}"
        assert not foreign, f"{customer} has events that nobody sent: {foreign[:5]}"
        turned = next((pair for pair in zip(wanted, there, strict=True) if pair[0] != pair[1]), None)
        assert turned is None, f"{customer}'s events stand in another order: {turned} instead of each other"
