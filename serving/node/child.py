"""A child process that ends when the node ends, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from serving.node import leash

#: Seconds that a killed process may take to be gone.
_REAP_SECONDS = 10
#: Bytes of a log file above which it is moved aside when its child starts again.
_LOG_BYTES = 16 * 1024 * 1024
_TAIL_BYTES = 2000


class Child:
    """One running process. Its output goes to a file.

    Must be started from a thread that lives as long as the node: the kernel sends the death signal when the
    *thread* that started the child ends (prctl(2), PR_SET_PDEATHSIG).
    """

    def __init__(
        self, command: Sequence[str], *, log: Path, on_exit: Callable[[], None], env: Mapping[str, str] | None = None
    ) -> None:
        """Start `command`; `on_exit` is called once, from a thread of its own, when it has ended."""
        leashed = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *command]
        self._log = log
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(log.suffix + ".1"))
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                leashed,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                # A terminal's Ctrl-C is for the node, which ends its children in its own order.
                start_new_session=True,
            )
        threading.Thread(target=self._watch, args=(on_exit,), name=f"watch-{self.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number where a signal ended it."""
        return self._process.poll()

    def resident_bytes(self) -> int | None:
        """Resident set, None where it has ended."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return None

    def last_words(self) -> str:
        """The end of its output, on one line."""
        with self._log.open("rb") as file:
            file.seek(max(0, self._log.stat().st_size - _TAIL_BYTES))
            return " ".join(file.read().decode(errors="replace").split())[-500:]

    def terminate(self, grace_seconds: float) -> None:
        """Ask it to end, and kill it after `grace_seconds`. Returns once it is gone."""
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill it. Returns once it is gone."""
        self._signal(signal.SIGKILL)
        self._process.wait(_REAP_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)

    def _watch(self, on_exit: Callable[[], None]) -> None:
        self._process.wait()
        on_exit()


class BackOff:
    """How long to wait before a child is started again: longer each time, forgotten after it ran well for a minute."""

    _FIRST, _LONGEST, _FORGIVEN_AFTER = 0.1, 30.0, 60.0

    def __init__(self) -> None:
        self._failures = 0

    def failed(self, *, ran_seconds: float) -> float:
        """Seconds to wait after a run of `ran_seconds`. The first failure costs nothing."""
        self._failures = 0 if ran_seconds > self._FORGIVEN_AFTER else self._failures
        delay = 0.0 if self._failures == 0 else min(self._LONGEST, self._FIRST * 2.0 ** (self._failures - 1))
        self._failures += 1
        return delay
