"""Finds and stops every process of a stack, also those whose supervisor was killed.

Each carries the stack's id in its environment. A program may overwrite what the kernel shows of that (PostgreSQL's
children do), so descendants and members of the same process group count as well.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Final

import psutil

#: The variable that every process of a stack has.
VARIABLE: Final = "ROOST_STACK_ID"
_KILL_SECONDS: Final = 5


def find(stack_id: str) -> list[psutil.Process]:
    """Every living process of that stack, this one and its ancestors left out."""
    marked = [process for process in psutil.process_iter() if _stack_of(process) == stack_id]
    groups = {group for process in marked if (group := _group_of(process)) == process.pid}
    found = {process.pid: process for process in marked}
    for process in psutil.process_iter():
        if _group_of(process) in groups:
            found.setdefault(process.pid, process)
    for process in tuple(found.values()):
        with contextlib.suppress(psutil.Error):
            found |= {child.pid: child for child in process.children(recursive=True)}
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [process for pid, process in found.items() if pid not in ours and _lives(process)]


def stop(processes: Iterable[psutil.Process], seconds: float) -> None:
    """Ask them to end, and kill those that still live after so many seconds."""
    asked = list(processes)
    for process in asked:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, living = psutil.wait_procs(asked, timeout=seconds)
    for process in living:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(living, timeout=_KILL_SECONDS)


def _stack_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(VARIABLE)
    except (psutil.Error, OSError):
        return None


def _group_of(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except OSError:
        return None


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
