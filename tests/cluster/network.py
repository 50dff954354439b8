"""The suite's own network: namespaces of Linux, so that nothing of it is seen from outside and nothing stays.

The process that enters has a loopback device and a bridge to which pods are tied; every process that it starts is in
there, too. Ports are free whatever else runs on the machine, so the parts stand under the very names and ports of the
overlay `local`.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.cluster.processes import until

#: Where the parts beside the cluster listen, seen from pods and from the tests.
HOST: Final = "10.244.0.1"
#: Of pods: 10.244.0.2 and on.
PODS: Final = "10.244.0"
BRIDGE: Final = "pods0"
#: The first address of the service range: the API server, as every pod is told.
API_ADDRESS: Final = "10.0.0.1"
SERVICES: Final = "10.0.0.0/24"
#: Names that the overlay `local` has for what stands beside the cluster.
BESIDE: Final = ("kafka", "storage", "postgres", "airflow-api-server")

# From linux/sched.h.
_CLONE_FS: Final = 0x00000200
_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWNET: Final = 0x40000000
# From linux/mount.h.
_MS_BIND: Final = 4096
_MS_REC_PRIVATE: Final = 16384 | (1 << 18)

_libc = ctypes.CDLL(None, use_errno=True)


def missing() -> str | None:
    """Why there can be no network of the suite's own here, one clause; None where there can."""
    if os.geteuid() != 0:
        return "pods get namespaces of their own, which only root can make: run it as root"
    tools = [name for name in ("ip", "nsenter", "setpriv") if not _on_path(name)]
    if tools:
        return f"{', '.join(tools)} is not installed (Debian: iproute2, util-linux)"
    trial = subprocess.run(("unshare", "--net", "--mount", "true"), check=False, capture_output=True, text=True)
    return None if trial.returncode == 0 else f"this machine lets nobody make namespaces: {trial.stderr.strip()}"


@contextmanager
def entered(directory: Path) -> Iterator[None]:
    """Take the calling thread, and all that it starts, into namespaces of its own; and back at the end."""
    before = [os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY) for kind in ("net", "mnt")]
    place = Path.cwd()
    _checked(_libc.unshare(_CLONE_NEWNET | _CLONE_NEWNS))
    try:
        _checked(_libc.mount(None, b"/", None, _MS_REC_PRIVATE, None))
        _names(directory / "hosts")
        ip("link", "set", "lo", "up")
        ip("addr", "add", f"{API_ADDRESS}/32", "dev", "lo")
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("addr", "add", f"{HOST}/16", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        yield
    finally:
        # Other threads share this one's root and place by now; who does may not change its mounts.
        _checked(_libc.unshare(_CLONE_FS))
        ours = _network("thread-self")
        for handle in before:
            _checked(_libc.setns(handle, 0))
            os.close(handle)
        os.chdir(place)
    until("no process is left in the network of the tests", lambda: not _left(ours), 180, told=lambda: str(_left(ours)))


def _left(ours: str) -> list[str]:
    """Command lines of the processes that are still in there."""
    found = [path.parent.name for path in Path("/proc").glob("[0-9]*/ns") if _network(path.parent.name) == ours]
    return [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in found]


def _network(process: str) -> str:
    """Which network a process is in; empty where it has ended."""
    try:
        return str(Path(f"/proc/{process}/ns/net").readlink())
    except OSError:
        return ""


def ip(*words: str) -> None:
    """One command of iproute2 in the network that the caller is in."""
    said = subprocess.run(("ip", *words), check=False, capture_output=True, text=True)
    if said.returncode != 0:
        raise RuntimeError(f"ip {' '.join(words)}: {said.stderr.strip()}")


def _names(hosts: Path) -> None:
    hosts.write_text(f"127.0.0.1 localhost\n{HOST} {' '.join(BESIDE)}\n{API_ADDRESS} kubernetes.default.svc\n")
    _checked(_libc.mount(str(hosts).encode(), b"/etc/hosts", None, _MS_BIND, None))


def _on_path(name: str) -> bool:
    return any((Path(part) / name).exists() for part in os.environ.get("PATH", "").split(":"))


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
