"""Keeps a page fresh: reads again when the ledger changed, at most once a second a page, and draws only differences."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from nicegui import ui
from nicegui.element import Element

from deployer.console.app import Console
from deployer.console.pages.parts import note, tag
from roost.contracts.errors import RoostError

Shape = TypeVar("Shape")
Part = TypeVar("Part")

#: How often the ledger's change counter, a number in memory, is compared.
_LOOK_SECONDS: Final = 0.25
_SHORTEST_SECONDS: Final = 1.0


class Sections:
    """Places of a page, each drawn again only when its own value differs, so that the rest keeps its focus."""

    def __init__(self) -> None:
        """Places are made where the first of them is shown."""
        self._places: dict[str, tuple[Element, object]] = {}

    def show(self, name: str, value: Part, draw: Callable[[Part], None], classes: str = "w-full") -> None:
        """Draw `value` at the place of that name, if it differs from what stands there."""
        place, drawn = self._places.get(name, (None, None))
        if place is not None and drawn == value:
            return
        if place is None:
            place = ui.column().classes(classes).style("gap: 16px")
        self._places[name] = (place, value)
        place.clear()
        with place:
            draw(value)


class Live(Generic[Shape]):
    """One thing that a page shows. `every` is how often it is read without a wake-up, for what nodes say."""

    def __init__(
        self, console: Console, read: Callable[[], Shape], draw: Callable[[Shape, Sections], None], *, every: float
    ) -> None:
        """Draws at the place where it is made. Another kind of answer (`Shape` may be a union) clears the place."""
        self._console, self._read, self._draw, self._every = console, read, draw, every
        self._clock = console.reader.sources.clock
        self._seen, self._read_at = -1, float("-inf")
        self._drawn: Shape | None = None
        self._error: str | None = None
        self._busy = False
        self._trouble = ui.column().classes("w-full")
        self._trouble.set_visibility(False)
        self._place = ui.column().classes("w-full").style("gap: 16px")
        with self._place:
            # A part that is away is waited for some seconds, and a bare page would say that there is nothing.
            self._waiting = tag("p", "Reading …", "r-soft q-ma-none")
        self._sections = Sections()
        ui.timer(_LOOK_SECONDS, self._look)

    async def refresh(self) -> None:
        """Read now, and draw what differs."""
        if self._busy:
            # The next look sees that a change is still to be read.
            self._seen = -1
            return
        self._busy = True
        try:
            self._seen, self._read_at = self._console.feed.version, self._clock.monotonic()
            self._show(*await asyncio.to_thread(self._attempt))
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
            self._trouble.set_visibility(error is not None)
            if error:
                if self._drawn is None:
                    self._waiting.set_visibility(False)
                with self._trouble:
                    # Before anything was read an empty page would say that there is nothing.
                    old = (
                        "What stands below is what was last read"
                        if self._drawn is not None
                        else "Nothing could be read yet"
                    )
                    note(f"{error}. {old}; it is tried again by itself.", "bad")
        if found is None or found == self._drawn:
            return
        if type(found) is not type(self._drawn):
            self._place.clear()
            self._sections = Sections()
        self._drawn = found
        with self._place:
            self._draw(found, self._sections)
