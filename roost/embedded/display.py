"""Shows a start as it goes: a live table in a terminal, a line for each change elsewhere."""

from __future__ import annotations

from typing import Protocol

from rich.console import Console
from rich.live import Live

from roost.embedded import table
from roost.embedded.observation import PartState


class Display(Protocol):
    """Where progress goes."""

    #: Whether measuring memory is worth its cost.
    shows_memory: bool

    def show(self, view: table.View) -> None:
        """The parts as they are now."""

    def finish(self, view: table.View) -> None:
        """All parts are ready for the first time."""

    def say(self, line: str) -> None:
        """One sentence."""

    def close(self) -> None:
        """What comes next is not ours."""


class LiveTable:
    """Redraws one table in place."""

    shows_memory = True

    def __init__(self, console: Console) -> None:
        """Nothing is drawn before the first view."""
        self._console = console
        self._live: Live | None = None

    def show(self, view: table.View) -> None:
        """Draw, or redraw."""
        drawn = table.drawing(view)
        if self._live is None:
            self._live = Live(drawn, console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(drawn, refresh=True)

    def finish(self, view: table.View) -> None:
        """The table says it all."""
        self.show(view)

    def say(self, line: str) -> None:
        """Above the table while there is one."""
        self._console.print(line, highlight=False)

    def close(self) -> None:
        """Leave the last table where it is."""
        if self._live is not None:
            self._live.stop()
            self._live = None


class Lines:
    """One line whenever a part's state changes."""

    shows_memory = False

    def __init__(self, console: Console) -> None:
        """Nothing is known of any part yet."""
        self._console = console
        self._states: dict[str, PartState] = {}

    def show(self, view: table.View) -> None:
        """Say what changed."""
        for one in view.observations:
            before = self._states.get(one.name, PartState.WAITING)
            if one.state is before:
                continue
            self._states[one.name] = one.state
            took = view.seconds.get(one.name)
            tail = f" after {took:.1f} s" if one.state.well and took else f": {one.detail}" if one.detail else ""
            self.say(
                f"{one.name}: {one.state.value}{tail}" + (f" at {one.address}" if one.state is PartState.READY else "")
            )

    def finish(self, view: table.View) -> None:
        """Say where to go."""
        for name, address in table.addresses(view.stack).items():
            self.say(f"{name:>14}  {address}")

    def say(self, line: str) -> None:
        """Print it, unbroken."""
        self._console.print(line, highlight=False, soft_wrap=True, markup=False)

    def close(self) -> None:
        """Nothing to leave."""
