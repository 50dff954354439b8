"""What a part of the local stack is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

#: None where the part is ready, else one sentence that says what is still missing. Takes at most about a second.
Probe = Callable[[], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process that supervisord keeps, and how we tell that it is ready."""

    name: str
    command: tuple[str, ...]
    #: Parts that must be ready before this one starts.
    after: tuple[str, ...] = ()
    #: Parts that this one does not need, but lets go first so that the whole start takes less time.
    behind: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    #: Ready once it says so; a part without a probe is ready once it runs, a step once it has ended well.
    probe: Probe | None = None
    #: Where people or other parts reach it, for the table.
    address: str = ""
    #: Ports that must be free before it starts, by what they are for.
    ports: Mapping[str, int] = field(default_factory=dict)
    #: A step runs once to its end; what is not a step runs until stopped and is started again when it dies.
    step: bool = False
    ready_seconds: float = 120
    #: Of a process that stops its own children, only the process is told to stop; otherwise its whole group is.
    stop_group: bool = True
    stop_signal: str = "TERM"
    stop_seconds: int = 15
    #: What to do when it does not start, beyond its log.
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """A part that somebody else runs: shown with its reachability, never started or stopped."""

    name: str
    address: str
    probe: Probe
