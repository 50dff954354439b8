"""How every command prints: tables that nobody cuts, times with their day, numbers with their noun."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

#: As wide as any table must be.
_WIDE: Final = 400
#: As shells say that Ctrl-C ended a command.
EXIT_INTERRUPTED: Final = 130


def screen() -> Console:
    """Where tables go: as wide as the terminal. Where nobody looks nothing is cut or folded."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=_WIDE)


def clock_time(at: datetime, now: datetime) -> str:
    """Local time of the day, and the day before it where it is not today: ``2026-03-01 09:12:44``."""
    local = at.astimezone()
    return local.strftime("%H:%M:%S" if local.date() == now.astimezone().date() else "%Y-%m-%d %H:%M:%S")


def counted(number: int, noun: str) -> str:
    """``1 event``, ``2 events``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
