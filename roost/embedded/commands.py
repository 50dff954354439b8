"""What `roost up`, `down` and `status` do."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rich.console import Console

from roost.contracts.errors import Conflict, SettingsInvalid
from roost.embedded import observation, stack, stopping, table
from roost.embedded.display import Display, Lines, LiveTable
from roost.embedded.interrupt import Interrupt
from roost.embedded.stack import Stack
from roost.embedded.startup import PartFailed, Startup
from roost.embedded.state_dir import StateDir
from roost.embedded.supervisor import ProcessState, Supervisor, SupervisorGone
from roost.ports.clock import SystemClock
from roost.settings import Bus, Settings

EXIT_NOT_READY: Final = 1
EXIT_NOT_RUNNING: Final = 3
EXIT_INTERRUPTED: Final = 130

_STARTING_TICK: Final = 0.4
_WATCHING_TICK: Final = 2.0
_MEMORY_SECONDS: Final = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What `roost up` was asked for."""

    #: ``NAME=NUMBER`` each.
    ports: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    as_json: bool = False
    #: None takes what the settings say.
    bus: Bus | None = None

    def wanted(self, settings: Settings) -> dict[str, int]:
        """Fixed ports by name: arguments above settings. Raises `SettingsInvalid`."""
        own = {"console": settings.console.port} if "port" in settings.console.model_fields_set else {}
        return own | settings.stack.ports | dict(_port(text) for text in self.ports)


def state_dir(settings: Settings) -> StateDir:
    """Where this command's stack lives."""
    return StateDir.at(settings.state_dir)


def up(state: StateDir, options: UpOptions, settings: Settings, *, stay: bool) -> int:
    """Start everything and wait until it is ready; with `stay` go on until interrupted, then stop everything.

    Returns the exit code.

    Raises:
        PartFailed: a part does not start; everything was stopped again.
        Conflict: another `roost up` works here.
    """
    display = _display(options)
    with Interrupt() as interrupt:
        with stack.sole(state):
            if Supervisor(state).alive():
                return _already_up(state, options, display)
            if left := stopping.stop(state):
                display.say(f"stopped {left} processes that an earlier stack had left behind")
            planned = stack.plan(state, options.wanted(settings), options.only, options.bus)
            code = _start(planned, display, interrupt)
        if code == 0:
            _tell(planned, options, display)
            code = _watch(planned, display, interrupt) if stay else 0
    display.close()
    return code


def up_detached(state: StateDir, options: UpOptions) -> int:
    """Start everything in the background and return at once; what it says goes to the log ``up``."""
    if Supervisor(state).alive():
        print(f"the stack in {state.root} is up already: roost status")
        return 0
    state.prepare()
    words = [text for port in options.ports for text in ("--port", port)]
    words += [text for part in options.only for text in ("--only", part)]
    words += ["--bus", options.bus] if options.bus else []
    command = [sys.executable, "-m", "roost", "up", "--wait", *words]
    with state.log("up").open("w") as log:
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    print("starting in the background: roost status, roost logs up -f")
    return 0


def down(state: StateDir) -> int:
    """Stop everything; returns the exit code."""
    was_running = Supervisor(state).alive()
    left = stopping.stop(state)
    if left:
        print(f"stopped {left} processes that had been left behind")
    print(f"the stack in {state.root} is down" if was_running or left else f"no stack runs in {state.root}")
    return 0


def status(state: StateDir, *, as_json: bool) -> int:
    """Show every part; returns 0 ready, 1 not all of it, 3 not running."""
    known = stack.last(state)
    try:
        processes = Supervisor(state).processes()
    except SupervisorGone:
        known = None
    if known is None:
        _say_down(state, as_json=as_json)
        return EXIT_NOT_RUNNING
    view = look(known, processes)
    if as_json:
        print(json.dumps(table.document(view), indent=1))
    else:
        Console().print(table.drawing(view))
    return 0 if view.ready else EXIT_NOT_READY


def look(planned: Stack, processes: Mapping[str, ProcessState]) -> table.View:
    """One full look, memory and restarts included: about a second."""
    observer = planned.observer()
    seen = observer.observe(processes)
    observer.close()
    return table.View(
        stack=planned,
        observations=seen,
        seconds=planned.run.seconds,
        memory=_memory(seen),
        restarts=observation.restarts(planned.state),
    )


def _start(planned: Stack, display: Display, interrupt: Interrupt) -> int:
    planned.state.failure.unlink(missing_ok=True)
    try:
        planned.fetch(display.say)
        planned.prepare()
        startup = Startup(planned.state, planned.parts, planned.supervisor, SystemClock())
        finished = _follow_start(planned, startup, display, interrupt)
    except (PartFailed, SettingsInvalid, SupervisorGone) as error:
        display.close()
        planned.state.failure.write_text(f"{error}\n")
        stopping.stop(planned.state)
        raise
    if not finished:
        display.close()
        display.say("interrupted: stopping what had started")
        stopping.stop(planned.state)
        return EXIT_INTERRUPTED
    planned.remember(startup.seconds)
    return 0


def _follow_start(planned: Stack, startup: Startup, display: Display, interrupt: Interrupt) -> bool:
    observer = planned.observer()
    memory: Mapping[str, float] = {}
    next_memory = time.monotonic() + _MEMORY_SECONDS
    try:
        while not interrupt.asked:
            seen = observer.observe(planned.supervisor.processes())
            finished = startup.advance(seen)
            if finished or time.monotonic() > next_memory:
                memory = _memory(seen) if display.shows_memory else {}
                next_memory = time.monotonic() + _MEMORY_SECONDS
            view = table.View(stack=planned, observations=seen, seconds=startup.seconds, memory=memory)
            display.show(view)
            if finished:
                return True
            interrupt.wait(_STARTING_TICK)
    finally:
        observer.close()
    return False


def _watch(planned: Stack, display: Display, interrupt: Interrupt) -> int:
    """Show the parts until somebody interrupts, then stop them."""
    display.say("Ctrl-C stops everything")
    try:
        while not interrupt.asked:
            display.show(look(planned, planned.supervisor.processes()))
            interrupt.wait(_WATCHING_TICK)
    except SupervisorGone:
        display.close()
        left = stopping.stop(planned.state)
        display.say(f"the stack was stopped from elsewhere ({left} processes were left)")
        return 0
    display.close()
    display.say("stopping")
    stopping.stop(planned.state)
    display.say("everything is stopped")
    return 0


def _already_up(state: StateDir, options: UpOptions, display: Display) -> int:
    known = stack.last(state)
    if known is None:
        raise Conflict(f"a supervisor runs in {state.root} but its files are gone: roost down, then roost up")
    display.say(f"the stack in {state.root} is up already")
    _tell(known, options, display)
    return 0


def _tell(planned: Stack, options: UpOptions, display: Display) -> None:
    view = look(planned, planned.supervisor.processes())
    display.finish(view)
    if options.as_json:
        print(json.dumps(table.document(view), indent=1), flush=True)


def _say_down(state: StateDir, *, as_json: bool) -> None:
    reason = state.failure.read_text().strip() if state.failure.is_file() else None
    if as_json:
        facts: dict[str, object] = {"state": "down", "state_dir": str(state.root), "last_failure": reason, "parts": []}
        print(json.dumps(facts, indent=1))
        return
    print(f"no stack runs in {state.root}: start one with `roost up`")
    if left := stopping.left_over(state):
        print(f"but {len(left)} processes of an earlier one live on without a supervisor: roost down stops them")
    if reason:
        print(f"the last start failed: {reason}")


def _memory(seen: list[observation.Observation]) -> dict[str, float]:
    return {one.name: observation.memory_mb(one.pid) for one in seen if one.pid}


def _display(options: UpOptions) -> Display:
    console = Console(stderr=options.as_json)
    return LiveTable(console) if console.is_terminal and not options.as_json else Lines(console)


def _port(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not number.isdecimal() or int(number) > 65_535:
        raise SettingsInvalid(f"--port takes NAME=NUMBER, such as console=8088, a port up to 65535; not {text!r}")
    return name, int(number)
