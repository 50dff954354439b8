"""The buttons that change something, and the dialog that asks why."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from nicegui import ui

from deployer.console.access import Caller
from deployer.console.app import Console
from deployer.console.desk import CommandRequest
from deployer.console.pages.parts import tag
from deployer.console.plain_words import seconds_text
from roost.contracts.errors import RoostError
from roost.contracts.events import Command
from roost.contracts.rollout import Phase

#: Seconds that the page waits for the outcome.
_WAIT_SECONDS: Final = 20.0

#: What makes sense in each phase, the likeliest first. The deployer decides; this only keeps nonsense off the page.
OFFERS: Final[dict[Phase, tuple[Command, ...]]] = {
    Phase.AWAITING_APPROVAL: (Command.APPROVE, Command.REJECT),
    Phase.CANARY: (Command.REJECT,),
    Phase.PROMOTING: (Command.ROLLBACK,),
    Phase.LIVE: (Command.ROLLBACK,),
    Phase.SETTLED: (Command.ROLLBACK,),
    Phase.HALTED: (Command.RETRY, Command.ROLLBACK),
}
#: What each does, for the dialog.
_MEANING: Final = {
    Command.APPROVE: "It goes on to every replica of its pool.",
    Command.REJECT: "It ends here. What answers now goes on answering.",
    Command.ROLLBACK: "The version before it answers again at once; this artifact is refused until it is released.",
    Command.RETRY: "The step that failed is tried once more.",
    Command.RELEASE: "A rollback may return to it, and a halted rollout of it may go on. To deploy again, train again.",
    Command.FREEZE: "Nothing of this scope is promoted until the thaw. What is live stays live.",
    Command.THAW: "What waited for it goes on.",
    Command.PAUSE: "Nothing of this scope goes to the canary until the resume. What is live stays live.",
    Command.RESUME: "What waited for it goes on.",
}
_RISKY: Final = frozenset({Command.ROLLBACK, Command.REJECT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a command is about, and its name for people."""

    label: str
    rollout_id: str | None = None
    customer: str | None = None
    model: str = "default"
    digest: str | None = None


def buttons(console: Console, caller: Caller, offers: Sequence[Command], target: Target) -> None:
    """One button for each command that the caller may give."""
    allowed = [command for command in offers if caller.may(command)]
    if not allowed:
        return
    with ui.row().classes("items-center").style("gap: 8px"):
        for order, command in enumerate(allowed):
            first = order == 0 and command not in _RISKY
            opened = _opener(console, caller, command, target)
            button = ui.button(_title(command), on_click=opened, color="primary" if first else None)
            button.props(f"{'unelevated' if first else 'outline'} no-caps dense padding='4px 14px'")
            button.classes("" if first else "r-risk" if command in _RISKY else "r-act")


def _opener(console: Console, caller: Caller, command: Command, target: Target) -> Callable[[], None]:
    asking: list[_Dialog] = []

    def opened() -> None:
        if asking and asking[0].is_open:
            return
        # At the root of the page: what is around the button may be drawn again while a person types.
        with ui.context.client.content:
            asking[:] = [_Dialog(console, caller, command, target)]
        asking[0].open()

    return opened


class _Dialog:
    """Asks for the reason, sends the command, says what became of it."""

    def __init__(self, console: Console, caller: Caller, command: Command, target: Target) -> None:
        self._console, self._caller, self._command, self._target = console, caller, command, target
        # Made once: pressing the button twice is one command.
        self._key = str(uuid.uuid4())
        with ui.dialog() as self._dialog, ui.card().style("width: 460px; max-width: 92vw") as card:
            card.on("keydown.ctrl.enter", self._send)
            tag("h2", f"{_title(command)} {target.label}?")
            tag("p", _MEANING.get(command, ""), "r-soft r-small q-ma-none")
            self._reason = ui.textarea("Reason", placeholder="Kept for ever, with your name")
            self._reason.props("outlined autogrow autofocus maxlength=2000").classes("w-full")
            self._actor: ui.input | None = None
            if not caller.verified:
                self._actor = ui.input("Your name", value=caller.name).props("outlined dense").classes("w-full")
            self._said = tag("div", classes="r-small")
            with ui.row().classes("w-full justify-end items-center"):
                tag("span", "Ctrl+Enter sends, Esc closes", "r-soft r-small").style("flex: 1")
                ui.button("Cancel", on_click=self._dialog.close, color=None).props("flat no-caps").classes("r-act")
                colour = "negative" if command in _RISKY else "primary"
                self._button = ui.button(_title(command), on_click=self._send)
                self._button.props(f"unelevated no-caps color={colour}")
        self._dialog.on("hide", self._dialog.delete)

    def open(self) -> None:
        self._dialog.open()

    @property
    def is_open(self) -> bool:
        return bool(self._dialog.value)

    async def _send(self) -> None:
        reason = (self._reason.value or "").strip()
        if not reason:
            self._reason.props("error error-message='Say why: the next person on call reads it.'")
            return
        actor = (self._actor.value or "").strip() if self._actor else self._caller.name
        self._button.props("loading")
        clock = self._console.reader.sources.clock
        started = clock.monotonic()
        try:
            request = CommandRequest(
                command=self._command,
                reason=reason,
                actor=actor or None,
                rollout_id=self._target.rollout_id,
                customer=self._target.customer,
                model=self._target.model,
                digest=self._target.digest,
            )
            taken = await asyncio.to_thread(self._console.desk.submit, self._caller, request, self._key)
            done = await self._console.desk.outcome(taken.event_id, taken, _WAIT_SECONDS)
        except RoostError as error:
            self._refused(str(error))
            return
        finally:
            self._button.props(remove="loading")
        seconds = seconds_text(clock.monotonic() - started)
        if done.done_at is None:
            text = f"Accepted, and not done after {seconds}: see whether the deployer is up (`roost status`)."
            ui.notify(text, type="warning", timeout=10_000)
        else:
            refused = done.done is False
            ui.notify(f"{done.outcome} ({seconds})", type="negative" if refused else "positive", timeout=8_000)
        self._dialog.close()

    def _refused(self, text: str) -> None:
        self._said.clear()
        with self._said:
            tag("div", text, "r-note r-bad", role="alert")


def _title(command: Command) -> str:
    return "Roll back" if command is Command.ROLLBACK else command.value.capitalize()
