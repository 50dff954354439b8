"""supervisord, as a library would offer it: start it, ask it, tell it. It lives beyond the command that started it."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import psutil

from roost.contracts.errors import Retryable, SettingsInvalid
from roost.embedded.state_dir import StateDir

_START_SECONDS: Final = 15


class SupervisorGone(Retryable):
    """supervisord does not answer: the stack is down, or it was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """One process as supervisord sees it."""

    #: STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED or FATAL.
    state: str
    #: 0 where none runs.
    pid: int
    exit_code: int
    #: Seconds since 1970 of its last start, 0 where it never started.
    started: float


class Supervisor:
    """The supervisord of one state directory, running or not."""

    def __init__(self, state: StateDir) -> None:
        """Nothing is started or asked yet."""
        self._state = state
        self._socket = str(state.sockets / "supervisor.sock")
        self.config = state.supervisor / "supervisord.conf"

    def alive(self) -> bool:
        """Whether it answers."""
        try:
            self._call("supervisor.getState")
        except SupervisorGone:
            return False
        return True

    def start(self, environment: Mapping[str, str]) -> None:
        """Start it in the background with that environment, which every part inherits.

        Raises:
            SettingsInvalid: it did not start; the text has its own words.
        """
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.config)]
        done = subprocess.run(
            command, env=dict(environment), cwd=self._state.root, capture_output=True, text=True, check=False
        )
        deadline = time.monotonic() + _START_SECONDS
        while done.returncode == 0 and time.monotonic() < deadline:
            if self.alive():
                return
            time.sleep(0.05)
        words = (done.stderr or done.stdout).strip() or f"see {self._state.log('supervisord')}"
        raise SettingsInvalid(f"supervisord did not start: {words}")

    def processes(self) -> dict[str, ProcessState]:
        """Every part by name. Raises `SupervisorGone`."""
        rows = cast("list[dict[str, str | int]]", self._call("supervisor.getAllProcessInfo"))
        return {
            str(row["name"]): ProcessState(
                state=str(row["statename"]),
                pid=int(row["pid"]),
                exit_code=int(row["exitstatus"]),
                started=float(row["start"]),
            )
            for row in rows
        }

    def start_part(self, name: str) -> None:
        """Start one part and return at once; one that runs already is left alone. Raises `SupervisorGone`."""
        with contextlib.suppress(xmlrpc.client.Fault):
            self._call("supervisor.startProcess", name, False)

    def stop_part(self, name: str) -> None:
        """Ask one part to stop and return at once. Raises `SupervisorGone`."""
        with contextlib.suppress(xmlrpc.client.Fault):
            self._call("supervisor.stopProcess", name, False)

    def shut_down(self, seconds: float) -> None:
        """Stop whatever still runs, and supervisord itself; killed where that takes longer than `seconds`."""
        pid = self.pid()
        with contextlib.suppress(SupervisorGone, xmlrpc.client.Fault):
            self._call("supervisor.shutdown")
        if pid is None:
            return
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            try:
                process.wait(seconds)
            except psutil.TimeoutExpired:
                os.kill(pid, signal.SIGKILL)

    def pid(self) -> int | None:
        """Of supervisord, None where it does not answer."""
        try:
            return int(cast("int", self._call("supervisor.getPID")))
        except SupervisorGone:
            return None

    def _call(self, method: str, *arguments: object) -> object:
        proxy = xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=_UnixTransport(self._socket))
        try:
            with proxy:
                call: Any = proxy
                for name in method.split("."):
                    call = getattr(call, name)
                return call(*arguments)
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise SupervisorGone(f"the stack in {self._state.root} is not running: roost up") from error


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(self._path)
        except OSError:
            self.sock.close()
            raise


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _UnixConnection(self._path)
        # What stands here is closed with the transport.
        self._connection = (host, connection)
        return connection
