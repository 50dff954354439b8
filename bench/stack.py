"""A local stack of the bench's own: in a directory under /tmp, all of it or some parts, and gone afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from roost import settings as roost_settings
from roost.settings import Settings, without_ours

#: Where the packages are.
ROOT: Final = Path(__file__).resolve().parents[1]
#: A start on a busy machine. Seconds.
_LONGEST_START: Final = 540


class StackFailed(RuntimeError):
    """`roost up` did not come up; the text is its own."""


class Part(BaseModel):
    """One line of ``roost up --json``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    seconds: float | None
    memory_mb: float | None


class Document(BaseModel):
    """What ``roost up --json`` says once all is ready."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: str
    parts: tuple[Part, ...]
    addresses: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack that is up."""

    root: Path
    settings: Settings
    #: From the command to everything ready.
    seconds: float
    document: Document

    def environment(self) -> dict[str, str]:
        """For a command that shall work on this stack."""
        return environment(self.root)


def environment(root: Path) -> dict[str, str]:
    """The environment of commands on the stack of that state directory."""
    return without_ours() | {"ROOST_STATE_DIR": str(root), "PYTHONPATH": str(ROOT)}


@contextmanager
def running(*, only: Sequence[str] = (), policy: str | None = None) -> Iterator[Stack]:
    """Bring a new stack up, and take it down and away at the end. This process's settings are then that stack's.

    Raises:
        StackFailed: it did not come up.
    """
    root = Path(tempfile.mkdtemp(prefix="roost-bench-", dir="/tmp"))
    file = os.environ.get("ROOST_SETTINGS_FILE")
    try:
        if policy is not None:
            (root / "policy.yaml").write_text(policy)
        yield _up(root, only)
    finally:
        _command(root, "down")
        shutil.rmtree(root, ignore_errors=True)
        os.environ.pop("ROOST_SETTINGS_FILE", None)
        if file is not None:
            os.environ["ROOST_SETTINGS_FILE"] = file
        roost_settings.load.cache_clear()


def _up(root: Path, only: Sequence[str]) -> Stack:
    words = [word for part in only for word in ("--only", part)]
    begun = time.perf_counter()
    done = _command(root, "up", "--wait", "--json", *words)
    seconds = time.perf_counter() - begun
    if done.returncode != 0:
        raise StackFailed(done.stderr.strip())
    os.environ["ROOST_SETTINGS_FILE"] = str(root / "settings.yaml")
    roost_settings.load.cache_clear()
    return Stack(
        root=root,
        settings=roost_settings.load(),
        seconds=seconds,
        document=Document.model_validate(json.loads(done.stdout)),
    )


def _command(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "roost", *words],
        env=environment(root),
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=_LONGEST_START,
    )
