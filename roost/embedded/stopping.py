"""Stops a stack so that no process and no socket stays, whatever happened to it before."""

from __future__ import annotations

import contextlib
import shutil
import time
from typing import Final

import psutil

from roost.contracts.errors import Retryable
from roost.embedded import addresses, leftovers
from roost.embedded.catalogue import STOP_LAST
from roost.embedded.state_dir import StateDir
from roost.embedded.supervisor import Supervisor, SupervisorGone

_LAYER_SECONDS: Final = 35
_LEFTOVER_SECONDS: Final = 5
_LIVING: Final = frozenset({"STARTING", "RUNNING", "STOPPING"})


def stop(state: StateDir) -> int:
    """Stop everything; returns how many processes had lost their supervisor, or would not listen to it.

    Raises:
        Retryable: a process does not end even when killed (it hangs in the kernel).
    """
    supervisor = Supervisor(state)
    with contextlib.suppress(SupervisorGone):
        everything = set(supervisor.processes())
        # What is written to stops after those who write.
        for layer in (everything - STOP_LAST, everything & STOP_LAST):
            _stop_parts(supervisor, layer)
    supervisor.shut_down(_LAYER_SECONDS)
    stopped = stop_leftovers(state)
    _clear(state)
    return stopped


def stop_leftovers(state: StateDir) -> int:
    """Stop processes of the stack that no supervisor knows; returns how many there were."""
    left = left_over(state)
    leftovers.stop(left, _LEFTOVER_SECONDS)
    if living := left_over(state) if left else []:
        raise Retryable(f"process {living[0].pid} ({living[0].name()}) of the stack does not end: try roost down again")
    return len(left)


def left_over(state: StateDir) -> list[psutil.Process]:
    """Every living process of the stack, supervised or not."""
    known = addresses.load(state)
    return leftovers.find(known.id) if known else []


def _stop_parts(supervisor: Supervisor, names: set[str]) -> None:
    for name in names:
        supervisor.stop_part(name)
    deadline = time.monotonic() + _LAYER_SECONDS
    while time.monotonic() < deadline:
        processes = supervisor.processes()
        if not any(processes[name].state in _LIVING for name in names if name in processes):
            return
        time.sleep(0.1)


def _clear(state: StateDir) -> None:
    """Sockets and markers of parts that are gone would be taken for signs of life."""
    shutil.rmtree(state.sockets, ignore_errors=True)
