"""A signup as any producer of a company would send it: from outside, by the published event alone."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from roost.contracts.cloudevents import Event, Message, encode
from roost.contracts.events import CUSTOMER_SIGNED_UP, CustomerSignedUp


def signed_up(customer: str) -> Message:
    """The message of one more signup, with an id of its own."""
    event = Event(
        id=uuid.uuid4().hex,
        type=CUSTOMER_SIGNED_UP,
        source="tests",
        subject=customer,
        time=datetime.now(UTC),
        data=CustomerSignedUp(customer=customer),
    )
    return encode(event)
