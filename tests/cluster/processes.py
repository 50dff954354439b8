"""Processes of the suite: each ends with the process that started it, whatever ends that one."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

Found = TypeVar("Found")


#: With process ids of its own: the first process of these takes every other one along when it ends.
_ALONE: Final = ("unshare", "--pid", "--mount", "--mount-proc", "--fork", "--kill-child=KILL")


@contextmanager
def running(
    name: str,
    command: tuple[str, ...],
    directory: Path,
    *,
    environment: Mapping[str, str] | None = None,
    alone: bool = True,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its output in ``<directory>/<name>.log``; killed at the end, and `alone` all that it has started."""
    with (directory / f"{name}.log").open("wb") as output:
        process = subprocess.Popen(
            # Killed by the kernel if this process is: nothing stays behind a killed suite.
            ("setpriv", "--pdeathsig", "KILL", *(_ALONE if alone else ()), *command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=None if environment is None else dict(environment),
        )
    try:
        yield process
    finally:
        # Nothing of it is wanted any more: its data are of this run only.
        process.kill()
        process.wait(20)


def until(what: str, look: Callable[[], Found | None], seconds: float, *, told: Callable[[], str] = str) -> Found:
    """The first true value of `look`; OSError counts as none. What `told` says ends the message of the failure."""
    end = time.monotonic() + seconds
    trouble = ""
    while True:
        try:
            found = look()
        except OSError as error:
            found, trouble = None, str(error)
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}; {trouble}\n{told()}")
        time.sleep(0.1)


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log, under its name."""
    text = log.read_text(errors="replace") if log.is_file() else "(there is none)"
    return f"{log.name}:\n" + "\n".join(text.splitlines()[-lines:])
