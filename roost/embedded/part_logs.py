"""What `roost logs` does."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from roost.contracts.errors import NotFound
from roost.embedded.startup import last_lines
from roost.embedded.state_dir import StateDir


def logs(state: StateDir, part: str, *, lines: int, follow: bool) -> None:
    """Print the last lines of a part's log, and with `follow` whatever is added, until interrupted.

    Raises:
        NotFound: there is no such log; the text names those that are there.
    """
    file = state.log(part)
    if not file.is_file():
        there = ", ".join(sorted(path.stem for path in state.logs.glob("*.log"))) or "none yet: `roost up` makes them"
        raise NotFound(f"there is no log of {part}; there are {there}")
    size = file.stat().st_size
    for line in last_lines(state, part, lines) if lines else ():
        print(line, flush=True)
    try:
        while follow:
            size = _print_growth(file, size)
            time.sleep(0.2)
    except KeyboardInterrupt:
        return


def _print_growth(file: Path, size: int) -> int:
    """Print what was added beyond `size`, and return the new size; a rotated log begins at 0 again."""
    now = file.stat().st_size if file.exists() else 0
    if now == size:
        return size
    with file.open("rb") as stream:
        stream.seek(size if now > size else 0)
        sys.stdout.write(stream.read().decode(errors="replace"))
        sys.stdout.flush()
        return stream.tell()
