"""Memory limits, by the kernel's own control groups where this machine has them; elsewhere there are none."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

_GROUPS: Final = Path("/sys/fs/cgroup/memory")
_UNITS: Final = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 10**3, "M": 10**6, "G": 10**9}


def limited(container: Path, limit: str | None) -> str | None:
    """The control group of one start of a container, with its limit; None without a limit or without groups."""
    if limit is None or not os.access(_GROUPS, os.W_OK) or not (_GROUPS / "memory.limit_in_bytes").exists():
        return None
    number, unit = re.fullmatch(r"(\d+)([A-Za-z]*)", limit).groups()  # type: ignore[union-attr]  # the API server checked it
    group = _group(container)
    group.mkdir(parents=True, exist_ok=True)
    (group / "memory.limit_in_bytes").write_text(str(int(number) * _UNITS[unit]))
    return str(group)


def exceeded(container: Path) -> bool:
    """Whether the kernel killed something in there for its memory."""
    control = _group(container) / "memory.oom_control"
    found = re.search(r"^oom_kill (\d+)$", control.read_text(), re.MULTILINE) if control.exists() else None
    return found is not None and int(found[1]) > 0


def give_back(container: Path) -> None:
    """Remove the group; its processes have ended."""
    # None was made, or the last process is still on its way out: `clear` comes at the end.
    with suppress(OSError):
        _group(container).rmdir()


def cleared(pods: Path) -> bool:
    """Remove every group of an agent that has ended; whether none is left, and so no process in one."""
    for group in _GROUPS.glob(f"{_prefix(pods)}*"):
        with suppress(OSError):
            group.rmdir()
    return not any(_GROUPS.glob(f"{_prefix(pods)}*"))


def _group(container: Path) -> Path:
    # <suite>/pods/<pod>/<container>
    return _GROUPS / f"{_prefix(container.parent.parent)}{container.parent.name}-{container.name}"


def _prefix(pods: Path) -> str:
    return f"{pods.parent.name}-"
