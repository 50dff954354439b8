"""What each part does now: supervisord's word, the part's own readiness, its memory."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import psutil

from roost.embedded.part import External, Part
from roost.embedded.state_dir import StateDir
from roost.embedded.supervisor import ProcessState

_AT_ONCE: Final = 12
#: A probe costs the part something; a good answer holds this long.
_BELIEF_SECONDS: Final = 5.0


class PartState(StrEnum):
    """How a part is."""

    #: Not started yet: it waits for another part, or was stopped.
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    #: A step that has ended well.
    DONE = "done"
    #: It died and waits for its next start.
    RESTARTING = "restarting"
    STOPPING = "stopping"
    FAILED = "failed"
    #: Run by somebody else, and answering.
    EXTERNAL = "external"
    #: Run by somebody else, and not answering.
    UNREACHABLE = "unreachable"

    @property
    def well(self) -> bool:
        """Whether others may count on the part."""
        return self in {PartState.READY, PartState.DONE, PartState.EXTERNAL}


_OF_SUPERVISOR: Final = {
    "STOPPED": (PartState.WAITING, ""),
    "STOPPING": (PartState.STOPPING, ""),
    "BACKOFF": (PartState.RESTARTING, "it ended; the next start waits a moment longer"),
    "EXITED": (PartState.RESTARTING, "it ended"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One part at one moment."""

    name: str
    state: PartState
    address: str = ""
    #: What is missing, where it is not well.
    detail: str = ""
    pid: int = 0
    #: Seconds since 1970 of its last start, 0 where it never started.
    started: float = 0


class Observer:
    """Asks all parts at the same time."""

    def __init__(self, parts: Sequence[Part], externals: Sequence[External]) -> None:
        """Nothing is asked yet."""
        self._parts = parts
        self._externals = externals
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="probe")
        #: Name to pid and the moment until which a good answer of that process is believed.
        self._believed: dict[str, tuple[int, float]] = {}

    def observe(self, processes: Mapping[str, ProcessState]) -> list[Observation]:
        """Every part, externals last, in the order of the catalogue."""
        own = self._threads.map(lambda part: self._own(part, processes.get(part.name)), self._parts)
        foreign = self._threads.map(_foreign, self._externals)
        return [*own, *foreign]

    def _own(self, part: Part, process: ProcessState | None) -> Observation:
        if process is None:
            return Observation(name=part.name, state=PartState.WAITING, address=part.address)
        state, detail = self._judge(part, process)
        return Observation(
            name=part.name,
            state=state,
            address=part.address,
            detail=detail,
            pid=process.pid,
            started=process.started,
        )

    def _judge(self, part: Part, process: ProcessState) -> tuple[PartState, str]:
        if process.state == "EXITED" and part.step:
            ended_well = process.exit_code == 0
            return (PartState.DONE, "") if ended_well else (PartState.FAILED, f"ended with code {process.exit_code}")
        if process.state in {"STARTING", "RUNNING"}:
            missing = self._missing(part, process)
            settled = not part.step and missing is None and (process.state == "RUNNING" or part.probe is not None)
            return (PartState.READY, "") if settled else (PartState.STARTING, missing or "")
        return _OF_SUPERVISOR.get(process.state, (PartState.FAILED, "it ended too often: supervisord gave up"))

    def _missing(self, part: Part, process: ProcessState) -> str | None:
        if part.probe is None:
            return None
        pid, until = self._believed.get(part.name, (0, 0.0))
        if pid == process.pid and time.monotonic() < until:
            return None
        missing = part.probe()
        if missing is None:
            self._believed[part.name] = (process.pid, time.monotonic() + _BELIEF_SECONDS)
        return missing

    def close(self) -> None:
        """Give the threads back."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def memory_mb(pid: int) -> float:
    """Megabytes of a process and all below it; what several share counts once (proportional set size)."""
    total = 0
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    for process in family:
        try:
            total += process.memory_full_info().pss
        except (psutil.Error, AttributeError):
            continue
    return total / 1e6


def restarts(state: StateDir) -> dict[str, int]:
    """How often each part was started again since supervisord started, from its own log."""
    try:
        lines = state.log("supervisord").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    starts: dict[str, int] = {}
    for line in lines:
        if "supervisord started with pid" in line:
            starts.clear()
        elif found := re.search(r"INFO spawned: '([^']+)'", line):
            starts[found[1]] = starts.get(found[1], 0) + 1
    return {name: number - 1 for name, number in starts.items()}


def _foreign(external: External) -> Observation:
    missing = external.probe()
    state = PartState.UNREACHABLE if missing else PartState.EXTERNAL
    return Observation(name=external.name, state=state, address=external.address, detail=missing or "")
