"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import psutil


def machine() -> dict[str, str | int | float]:
    """Cores, processor, memory, system, load and instant."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "load_1m": round(os.getloadavg()[0], 2),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def in_words(facts: dict[str, str | int | float]) -> str:
    """One line for a table's head."""
    return (
        f"{facts['cores']} cores of {facts['processor']}, {facts['memory_gb']} GB, "
        f"load {facts['load_1m']} when it began, {facts['at']}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
