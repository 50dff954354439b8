"""Stands between the agent and one container's first process, as a container runtime's shim does. Standard library only.

    python -I -S shim.py pause              holds a pod's network until it is killed
    python -I -S shim.py run CONTAINER.json is the parent of a container's first process, and ends with its code

A container is a process with its own mounts, process ids, host name and semaphores, in the pod's network; its root is made of what its image
has (bound from this machine, nothing writable) and of its volumes; its user, groups and capabilities are those of its security context.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

_NEWNS, _NEWUTS, _NEWIPC, _NEWPID, _NEWNET = 0x20000, 0x04000000, 0x08000000, 0x20000000, 0x40000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_PDEATHSIG, _CAPBSET_DROP, _NO_NEW_PRIVS = 1, 24, 38
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> int:
    """Run as the module's text says."""
    _checked(_libc.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if arguments[0] == "pause":
        _checked(_libc.unshare(_NEWNET))
        print("ready", flush=True)
        while True:
            signal.pause()
    return _run(json.loads(Path(arguments[1]).read_text()))


def _run(spec: dict[str, Any]) -> int:
    # A memory limit counts everything that is started from here.
    if spec["cgroup"]:
        (Path(spec["cgroup"]) / "cgroup.procs").write_text(str(os.getpid()))
    with Path(f"/proc/{spec['pause']}/ns/net").open() as network:
        _checked(_libc.setns(network.fileno(), _NEWNET))
    _checked(_libc.unshare(_NEWNS | _NEWUTS | _NEWIPC | _NEWPID))
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(tell)
            # Both have the same mounts: once the root is another one, the parent would not find its file.
            os.read(told, 1)
            os.close(told)
            _become(spec)
        except BaseException as error:  # noqa: BLE001  # the child of a fork may not go on as its parent
            os.write(2, f"the container cannot start: {error!r}\n".encode())
            os._exit(127)
    os.close(told)
    Path(spec["pid_file"]).write_text(str(child))
    os.close(tell)
    # Whoever stops the container speaks with its first process; its end is this one's.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    _, status = os.waitpid(child, 0)
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _become(spec: dict[str, Any]) -> None:
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    socket.sethostname(spec["hostname"])
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _fill(Path(spec["root"]), spec)
    os.chdir(spec["working_dir"])
    for capability in range(64):
        if _libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break
    os.setgroups(spec["groups"])
    os.setgid(spec["gid"])
    os.setuid(spec["uid"])
    if spec["no_new_privileges"]:
        _checked(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0))
    _checked(_libc.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    program = shutil.which(spec["command"][0], path=spec["env"].get("PATH", os.defpath))
    if program is None:
        raise FileNotFoundError(f"{spec['command'][0]} is not on PATH ({spec['env'].get('PATH')})")
    os.execve(program, spec["command"], spec["env"])


def _fill(root: Path, spec: dict[str, Any]) -> None:
    _mount("tmpfs", str(root), "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755")
    image = [{"source": source, "target": target, "read_only": True} for source, target in spec["image"]]
    # Outer places first: this repository may itself lie below a place where a volume comes, such as /tmp.
    for one in sorted([*image, *spec["mounts"]], key=lambda one: len(Path(one["target"]).parts)):
        _bind(one["source"], root, one["target"], read_only=one["read_only"])
    for source in spec["etc"]:
        name = root / "etc" / Path(source).name
        name.parent.mkdir(exist_ok=True)
        if Path(source).is_dir():
            _bind(source, root, f"/etc/{name.name}", read_only=True)
        else:
            shutil.copy(source, name)
    with (root / "etc" / "hosts").open("a") as hosts:
        hosts.write(spec["hosts"])
    _devices(root)
    (root / "proc").mkdir()
    _mount("proc", str(root / "proc"), "proc", _MS_NOSUID | _MS_NODEV)
    (root / spec["working_dir"].lstrip("/")).mkdir(parents=True, exist_ok=True)
    if spec["read_only_root"]:
        _mount(None, str(root), None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
    else:
        (root / "tmp").mkdir(mode=0o1777, exist_ok=True)
    os.chdir(root)
    _checked(_libc.syscall(_PIVOT_ROOT[os.uname().machine], b".", b"."))
    _checked(_libc.umount2(b".", _MNT_DETACH))
    os.chdir("/")


def _devices(root: Path) -> None:
    devices = root / "dev"
    devices.mkdir()
    for name in _DEVICES:
        _bind(f"/dev/{name}", root, f"/dev/{name}", read_only=False)
    (devices / "shm").mkdir()
    _mount("tmpfs", str(devices / "shm"), "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777,size=64m")
    (devices / "fd").symlink_to("/proc/self/fd")


def _bind(source: str, root: Path, target: str, *, read_only: bool) -> None:
    place = root / target.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if Path(source).is_dir():
        place.mkdir(exist_ok=True)
    else:
        place.touch()
    _mount(source, str(place), None, _MS_BIND | _MS_REC)
    if read_only:
        _mount(None, str(place), None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    words = [None if word is None else word.encode() for word in (source, target, kind, options)]
    if _libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)}: mounting {source} on {target}")


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
