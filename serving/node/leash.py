"""Runs a command that dies with the node: ``python leash.py PARENT_PID COMMAND…``. The signal is Linux's own.

A `preexec_fn` would do the same in a process with threads, where Python's documentation warns of dead-locks; so this
small program asks the kernel for the signal and then becomes the command. Imports nothing of Roost: it starts in 20 ms.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for SIGKILL when the thread that started us ends, then become the command."""
    if len(sys.argv) < 3 or not sys.argv[1].isdecimal():
        sys.exit("usage: python leash.py PARENT_PID COMMAND…")
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 (a list of arguments, no shell)


if __name__ == "__main__":
    main()
