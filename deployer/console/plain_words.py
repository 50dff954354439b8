"""Numbers and instants as people read them. Pure."""

from __future__ import annotations

from datetime import datetime

from deployer.console.views import EventView
from roost.contracts.events import OPERATION_REPORTED


def seconds_text(seconds: float | None) -> str:
    """A duration: ``0.42 s``, ``12 s``, ``3 min 5 s``, ``2 h 4 min``, ``3 d 4 h``; a dash where there is none."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def ago(at: datetime, now: datetime) -> str:
    """How long before `now`; clocks that differ a little do not make it negative."""
    seconds = max(0.0, (now - at).total_seconds())
    if seconds < 1:
        return "just now"
    return f"{seconds_text(seconds if seconds < 10 else float(round(seconds)))} ago"


def amount(value: float | None) -> str:
    """A number with the digits that matter: at most four, no trailing zeros."""
    return "–" if value is None else f"{value:.4g}"


def megabytes(value: int | None) -> str:
    """Bytes as MB."""
    return "–" if value is None else f"{value / 1_000_000:.1f} MB"


def fact_text(name: str, value: object) -> str:
    """A fact of a training run or of a transition: numbers and instants short, a window as ``first to last``."""
    if isinstance(value, float):
        return amount(value)
    if isinstance(value, list | tuple):
        between = " to " if name.endswith("window") else ", "
        return between.join(fact_text(name, one) for one in value) or "–"
    if isinstance(value, str) and "T" in value:
        return _instant_text(value)
    return str(value)


def _instant_text(text: str) -> str:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    return at.isoformat(" ", "seconds").replace("+00:00", " UTC").removesuffix(" 00:00:00 UTC")


def event_words(event: EventView) -> str:
    """What kind of event it is: ``rollout live``, ``command rollback``, ``customer signed up``."""
    name = event.data.get("what") if event.type == OPERATION_REPORTED else None
    return str(name or event.type.removeprefix("roost.").removesuffix(".v1")).replace(".", " ").replace("_", " ")
