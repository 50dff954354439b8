"""Keeps a page fresh: reads again when the ledger changed, at most once a second a page, and draws only differences."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from nicegui import ui

from deployer.console.app import Console
from deployer.console.pages.parts import note
from roost.contracts.errors import RoostError

Shape = TypeVar("Shape")

#: How often the ledger's change counter, a number in memory, is compared.
_LOOK_SECONDS = 0.25
_SHORTEST_SECONDS = 1.0


class Live(Generic[Shape]):
    """One thing that a page shows. `every` is how often it is read without a wake-up, for what nodes say."""

    def __init__(
        self, console: Console, read: Callable[[], Shape], draw: Callable[[Shape], None], *, every: float
    ) -> None:
        """Draws into a place made here and now; the first time when the browser has connected."""
        self._console, self._read, self._draw, self._every = console, read, draw, every
        self._clock = console.reader.sources.clock
        self._seen, self._read_at = -1, float("-inf")
        self._drawn: Shape | None = None
        self._error: str | None = None
        self._busy = False
        self._place = ui.column().classes("w-full").style("gap: 16px")
        self._trouble = ui.column().classes("w-full")
        self._trouble.move(target_index=0)
        ui.timer(_LOOK_SECONDS, self._look)

    async def refresh(self) -> None:
        """Read now, and draw if anything differs."""
        if self._busy:
            return
        self._busy = True
        try:
            self._seen, self._read_at = self._console.feed.version, self._clock.monotonic()
            found, error = await asyncio.to_thread(self._attempt)
            self._show(found, error)
        finally:
            self._busy = False

    async def _look(self) -> None:
        waited = self._clock.monotonic() - self._read_at
        changed = self._console.feed.version != self._seen
        if waited >= self._every or (changed and waited >= _SHORTEST_SECONDS):
            await self.refresh()

    def _attempt(self) -> tuple[Shape | None, str | None]:
        try:
            return self._read(), None
        except RoostError as error:
            return None, str(error)

    def _show(self, found: Shape | None, error: str | None) -> None:
        if error != self._error:
            self._error = error
            self._trouble.clear()
            if error:
                with self._trouble:
                    note(f"{error} – what stands below is what was last read.", "bad")
        if found is not None and found != self._drawn:
            self._drawn = found
            self._place.clear()
            with self._place:
                self._draw(found)
