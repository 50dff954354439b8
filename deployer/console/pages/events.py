"""Events as they are committed, and the audit list of commands."""

from __future__ import annotations

from functools import partial

from fastapi import Request
from nicegui import ui

from deployer.console.app import Console
from deployer.console.pages.frame import frame
from deployer.console.pages.live import Live
from deployer.console.pages.parts import card, cell, chip, empty, link, moment, table, tag
from deployer.console.plain_words import event_words, seconds_text
from deployer.console.views import CommandView, EventPage, EventView

_ROWS = 100


def mount(console: Console) -> None:
    """The pages at ``/events`` and ``/commands``."""

    @ui.page("/events")
    def events(request: Request) -> None:
        with frame(console, request, "Events"):
            tag("h1", "Events")
            Live(
                console, lambda: console.reader.events(after=0, limit=_ROWS), lambda page, _: _events_of(page), every=5
            )

    @ui.page("/commands")
    def commands(request: Request) -> None:
        with frame(console, request, "Commands"):
            tag("h1", "Commands")
            tag("p", "Who asked for what, why, and what became of it.", "r-soft q-ma-none")
            Live(console, lambda: tuple(console.reader.commands(_ROWS)), lambda rows, _: _list(rows), every=5)


def _events_of(page: EventPage) -> None:
    with card():
        if not page.items:
            empty(
                "No events yet",
                "Each signup, each step of a rollout and each command is one.",
                command="roost events -f",
            )
            return
        with table("When", "About", "Event", "What it says", "#Sequence", stacks=True):
            for event in reversed(page.items):
                _event(event)


def _event(event: EventView) -> None:
    rollout = event.data.get("rollout_id")
    said = str(event.data.get("reason") or event.data.get("name") or "")
    with tag("tr"):
        cell(partial(moment, event.time, "r-soft"), "tight")
        if event.data.get("customer") == event.subject:
            cell(partial(link, event.subject, f"/customers/{event.subject}"), "tight")
        else:
            cell(event.subject, "tight")
        cell(event_words(event), "tight")
        if isinstance(rollout, str):
            cell(partial(link, said or "open", f"/rollouts/{rollout}"), "wide")
        else:
            cell(said, "wide")
        cell(str(event.sequence), "num r-soft")


def _list(rows: tuple[CommandView, ...]) -> None:
    with card():
        if not rows:
            empty(
                "Nobody has asked for anything yet",
                "Approvals, rollbacks and freezes appear here.",
                command="roost --help",
            )
            return
        with table("When", "Who", "Asked to", "About", "Reason", "Outcome", "#Took", stacks=True):
            for row in rows:
                _command(row)


def _command(row: CommandView) -> None:
    with tag("tr"):
        cell(partial(moment, row.received_at, "r-soft"), "tight")
        cell(row.actor, "tight")
        cell(row.command.value, "tight")
        about = row.rollout_id or row.customer or row.digest or "the fleet"
        if row.rollout_id:
            cell(partial(link, about, f"/rollouts/{row.rollout_id}"))
        elif row.customer:
            cell(partial(link, about, f"/customers/{row.customer}"))
        else:
            cell(about)
        cell(row.reason)
        if row.outcome is None:
            cell(partial(chip, "open", "wait"))
        else:
            cell(row.outcome, "r-soft" if row.done is False else "")
        cell(seconds_text(row.seconds), "num")
