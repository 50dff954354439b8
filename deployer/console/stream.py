"""Server-sent events: the ledger's events as they are committed.

Source: WHATWG HTML, section "Server-sent events". The id of each is its sequence, so a browser that connects again
goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from deployer.console.feed import Feed
from deployer.console.reader import Reader
from roost.contracts.errors import Retryable

_BATCH: Final = 500
#: Without a wake-up the ledger is looked at this often, in seconds: a lost notification costs no more.
_LOOK_SECONDS: Final = 5.0


async def follow(reader: Reader, feed: Feed, after: int) -> AsyncIterator[str]:
    """Events above `after`, then what comes, until the process drains or the client goes."""
    last = after
    yield "retry: 2000\n\n"
    while not feed.stopping:
        seen = feed.version
        try:
            page = await asyncio.to_thread(reader.events, after=last, limit=_BATCH)
        except Retryable as error:
            # The client keeps its connection and its place; the comment says why nothing comes.
            yield f": {_one_line(str(error))}\n\n"
            await feed.changed(seen, _LOOK_SECONDS)
            continue
        for event in page.items:
            yield f"id: {event.sequence}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n"
        last = page.last_sequence
        if not page.items:
            yield ": still here\n\n"
        await feed.changed(seen, _LOOK_SECONDS)


def _one_line(text: str) -> str:
    return " ".join(text.split())
