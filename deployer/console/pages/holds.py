"""What is frozen or paused: a note for each, which says since when, and the button that lets it go."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui

from deployer.console.access import Caller
from deployer.console.app import Console
from deployer.console.pages import asking
from deployer.console.pages.parts import moment, tag
from deployer.console.views import ActionView, FreezeView, Hold
from roost.contracts.events import Command


def holds(console: Console, caller: Caller, freezes: Sequence[FreezeView]) -> None:
    """One note for each freeze and each pause that stands."""
    for entry in freezes:
        with tag("div", classes="r-note r-wait r-hold", role="status"):
            what = "Nothing" if entry.of_fleet else f"Nothing of {entry.words}"
            held = "is promoted: frozen" if entry.kind is Hold.FREEZE else "goes to the canary: paused"
            with tag("span"):
                tag("span", f"{what} {held} by {entry.actor}, “{entry.reason}”, ")
                moment(entry.at)
                tag("span", ".")
            ui.space()
            command = Command.THAW if entry.kind is Hold.FREEZE else Command.RESUME
            target = asking.Target(label=entry.words, rollout_id=entry.rollout_id, customer=entry.customer)
            asking.buttons(console, caller, [asking.hold(command)], target)


def offers(freezes: Sequence[FreezeView]) -> list[ActionView]:
    """What can be held for the whole fleet, and is not yet."""
    standing = {entry.kind for entry in freezes if entry.of_fleet}
    asked = {Hold.FREEZE: Command.FREEZE, Hold.PAUSE: Command.PAUSE}
    return [asking.hold(command) for kind, command in asked.items() if kind not in standing]
