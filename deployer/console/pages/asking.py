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
from deployer.console.views import ActionView
from roost.contracts.errors import RoostError
from roost.contracts.events import Command

#: Seconds that the page waits for the outcome.
_WAIT_SECONDS: Final = 20.0

#: What holding and letting go come to.
_HOLDS: Final = {
    Command.FREEZE: "Nothing of this scope is promoted until the thaw. What is live stays live.",
    Command.THAW: "What waited for it goes on.",
    Command.PAUSE: "Nothing of this scope goes to the canary until the resume. What is live stays live.",
    Command.RESUME: "What waited for it goes on.",
}
_RISKY: Final = frozenset({Command.ROLLBACK, Command.REJECT})
_SAME: Final = {
    Command.PROMOTE: frozenset({Command.APPROVE, Command.RETRY}),
    Command.REJECT: frozenset({Command.ROLLBACK}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a command is about, and its name for people."""

    label: str
    rollout_id: str | None = None
    customer: str | None = None
    model: str = "default"
    digest: str | None = None


def hold(command: Command) -> ActionView:
    """A freeze, a pause, or the end of one."""
    return ActionView(command=command, words=command.value, effect=_HOLDS[command])


def different(actions: Sequence[ActionView]) -> list[ActionView]:
    """Without those that come to what a likelier one does: a promote beside an approve, a reject beside a rollback."""
    offered = {action.command for action in actions}
    return [action for action in actions if not offered & _SAME.get(action.command, frozenset())]


def buttons(console: Console, caller: Caller, actions: Sequence[ActionView], target: Target) -> None:
    """One button for each that the caller may do."""
    allowed = [action for action in actions if caller.may(action.command)]
    if not allowed:
        return
    with ui.row().classes("items-center").style("gap: 8px"):
        for order, action in enumerate(allowed):
            risky = action.command in _RISKY
            first = order == 0 and not risky and action.command is not Command.RELEASE
            opened = _opener(console, caller, action, target)
            button = ui.button(action.words.capitalize(), on_click=opened, color="primary" if first else None)
            button.props(f"{'unelevated' if first else 'outline'} no-caps dense padding='4px 14px'")
            button.classes("" if first else "r-risk" if risky else "r-act")


def _opener(console: Console, caller: Caller, action: ActionView, target: Target) -> Callable[[], None]:
    asking: list[_Dialog] = []

    def opened() -> None:
        if asking and asking[0].is_open:
            return
        # At the root of the page: what is around the button may be drawn again while a person types.
        with ui.context.client.content:
            asking[:] = [_Dialog(console, caller, action, target)]
        asking[0].open()

    return opened


class _Dialog:
    """Asks for the reason, sends the command, says what became of it."""

    def __init__(self, console: Console, caller: Caller, action: ActionView, target: Target) -> None:
        self._console, self._caller, self._command, self._target = console, caller, action.command, target
        # Made once: pressing the button twice is one command.
        self._key = str(uuid.uuid4())
        with ui.dialog() as self._dialog, ui.card().style("width: 460px; max-width: 92vw") as card:
            card.on("keydown.ctrl.enter", self._send)
            tag("h2", f"{action.words.capitalize()}: {target.label}?")
            tag("p", action.effect, "r-soft r-small q-ma-none")
            self._reason = ui.textarea("Reason", placeholder="Kept for ever, with your name")
            self._reason.props("outlined autogrow autofocus maxlength=2000").classes("w-full")
            self._actor: ui.input | None = None
            if not caller.verified:
                self._actor = ui.input("Your name", value=caller.name).props("outlined dense").classes("w-full")
            self._said = tag("div", classes="r-small")
            with ui.row().classes("w-full justify-end items-center"):
                tag("span", "Ctrl+Enter sends, Esc closes", "r-soft r-small").style("flex: 1")
                ui.button("Cancel", on_click=self._dialog.close, color=None).props("flat no-caps").classes("r-act")
                colour = "negative" if action.command in _RISKY else "primary"
                self._button = ui.button(action.words.capitalize(), on_click=self._send)
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
