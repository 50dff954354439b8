"""Processor time of another process, in nanoseconds: what a core spends on it, whatever else runs beside it."""

from __future__ import annotations

from pathlib import Path


def processor_seconds(pid: int) -> float:
    """Seconds that all threads of the process have run so far (`schedstat`, proc(5))."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
