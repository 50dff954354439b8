"""Ports of this machine: free ones, and who holds one that is taken."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection, Iterable
from typing import Final

import psutil

from roost.contracts.errors import SettingsInvalid

HOST: Final = "127.0.0.1"
_RANGE: Final = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def choose(names: Iterable[str], *, avoid: Collection[int] = ()) -> dict[str, int]:
    """A different free port for each name.

    They lie below the range from which Linux takes ports of outgoing connections: a part that is started again must not
    find its port gone to somebody's connection.
    """
    candidates = [port for port in _RANGE if port not in avoid]
    random.shuffle(candidates)
    free = (port for port in candidates if is_free(port))
    return {name: next(free) for name in names}


def holder(port: int) -> str | None:
    """``name (pid N)`` of the process that listens there, None where it cannot be known."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return None
    for connection in connections:
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})" if connection.pid else None
            except psutil.Error:
                return None
    return None


def require_free(part: str, purpose: str, port: int) -> None:
    """Raise `SettingsInvalid` naming part, port, holder and remedy where the port is taken."""
    if is_free(port):
        return
    by = holder(port)
    taken = f"port {port} ({purpose} of {part}) is taken" + (f" by {by}" if by else " by another process")
    raise SettingsInvalid(f"{taken}: stop that process, or choose another port: roost up --port {purpose}=0")
