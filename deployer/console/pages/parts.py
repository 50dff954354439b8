"""Small pieces that the pages share. Every text goes through an element that escapes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from nicegui import ui
from nicegui.element import Element

from deployer.console.why.answer import StepState
from roost.contracts.rollout import Phase
from roost.contracts.verdict import Outcome

PHASE_TONE: Final = {
    Phase.LIVE: "good",
    Phase.SETTLED: "good",
    Phase.REJECTED: "bad",
    Phase.HALTED: "bad",
    Phase.ROLLED_BACK: "bad",
    Phase.ROLLING_BACK: "wait",
    Phase.AWAITING_APPROVAL: "wait",
    Phase.CANCELLED: "mute",
    Phase.SUPERSEDED: "mute",
}
OUTCOME_TONE: Final = {Outcome.PASS: "good", Outcome.FAIL: "bad", Outcome.INCONCLUSIVE: "wait"}
STEP_TONE: Final = {
    StepState.DONE: "good",
    StepState.RUNNING: "run",
    StepState.WAITING: "mute",
    StepState.FAILED: "bad",
    StepState.SKIPPED: "mute",
    StepState.UNKNOWN: "wait",
}


def phase_words(phase: Phase) -> str:
    """A phase as people read it: ``awaiting approval``."""
    return phase.value.replace("_", " ").lower()


def tag(name: str, text: str = "", classes: str = "", **attributes: str) -> Element:
    """Any HTML element with plain text."""
    element = _Text(name, text) if text else ui.element(name)
    for attribute, value in attributes.items():
        element.props[attribute.rstrip("_").replace("_", "-")] = value
    return element.classes(classes) if classes else element


class _Text(Element):
    def __init__(self, name: str, text: str) -> None:
        super().__init__(name)
        self._text = text


def chip(text: str, tone: str) -> Element:
    """A small coloured word. The word says it too: colour alone never does."""
    return tag("span", text, f"r-chip r-{tone}")


def moment(at: datetime | None, classes: str = "") -> Element:
    """How long ago, kept fresh by the browser; the instant itself on hover."""
    if at is None:
        return tag("span", "–", classes)
    element = tag(
        "time", _clock(at), classes, datetime=at.isoformat(), title=at.astimezone().isoformat(" ", "milliseconds")
    )
    element.props["data-ago"] = "1"
    return element


def clock(at: datetime) -> Element:
    """The time of day, in the browser's own zone, with the date where it was another day."""
    element = tag("time", _clock(at), datetime=at.isoformat(), title=at.astimezone().isoformat(" ", "milliseconds"))
    element.props["data-clock"] = "1"
    return element


def link(text: str, target: str, classes: str = "") -> Element:
    """A plain link, reached by the keyboard as any other."""
    return tag("a", text, classes, href=target)


def note(text: str, tone: str) -> Element:
    """One sentence across the page."""
    return tag("div", text, f"r-note r-{tone}", role="status")


@contextmanager
def card(title: str = "") -> Iterator[Element]:
    """A section with a heading."""
    with ui.column().classes("r-card") as element:
        if title:
            tag("h2", title)
        yield element


def facts(rows: Sequence[tuple[str, object]]) -> None:
    """Names and values; a value may be a function that draws it."""
    with tag("dl", classes="r-facts"):
        for name, value in rows:
            tag("dt", name)
            if callable(value):
                with tag("dd"):
                    value()
            else:
                tag("dd", str(value))


@contextmanager
def table(*columns: str, stacks: bool = False) -> Iterator[None]:
    """A table with these headings; a name that starts with ``#`` is a column of numbers.

    On a phone it is pushed sideways; one that `stacks` breaks each row into lines instead.
    """
    with tag("div", classes="r-scroll"), tag("table", classes="r-table r-stacks" if stacks else "r-table"):
        with tag("thead"), tag("tr"):
            for name in columns:
                tag("th", name.lstrip("#") or " ", "num" if name.startswith("#") else "", scope="col")
        with tag("tbody"):
            yield


def cell(text: str | Callable[[], object], classes: str = "") -> None:
    """One cell: a text, or what a function draws."""
    if isinstance(text, str):
        tag("td", text or "–", classes)
        return
    with tag("td", classes=classes):
        text()


def empty(title: str, *lines: str, command: str = "") -> None:
    """What to do where there is nothing to see yet."""
    with tag("div", classes="r-empty"):
        tag("h2", title)
        for line in lines:
            tag("p", line)
        if command:
            with tag("p"):
                tag("code", command)


def _clock(at: datetime) -> str:
    return at.astimezone().strftime("%H:%M:%S")
