"""The control plane's programs, built once from the Go module beside this file and kept outside the tree.

    python -m tests.cluster.binaries

builds what is missing: about nine minutes on two cores from nothing, half a minute where Go's own build cache is warm.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

_MODULE: Final = Path(__file__).parent
_COMMANDS: Final = ("kube-apiserver", "kube-controller-manager")
_TELL_SECONDS: Final = 20.0


def version() -> str:
    """The version of Kubernetes that go.mod names, with its ``v``."""
    found = re.search(r"^require k8s\.io/kubernetes (v\S+)$", (_MODULE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{_MODULE / 'go.mod'} names no k8s.io/kubernetes")
    return found[1]


def folder() -> Path:
    """Where the programs of exactly this module and these flags are kept."""
    digest = hashlib.sha256("\0".join(_flags()).encode())
    for name in ("go.mod", "go.sum", "tools.go"):
        digest.update((_MODULE / name).read_bytes())
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "roost" / f"kubernetes-{version()}-{digest.hexdigest()[:12]}"


def missing() -> str | None:
    """Why there is no control plane here and cannot be, one clause; None where there is or can be."""
    if all((folder() / name).is_file() for name in _COMMANDS) or shutil.which("go"):
        return None
    return f"the control plane is not built ({folder()}) and there is no Go to build it: install Go 1.24 or newer"


def ensure() -> Path:
    """The folder with the programs, built where they are missing; says how far it is.

    Raises:
        RuntimeError: Go cannot build them; the text ends with its words.
    """
    target = folder()
    if all((target / name).is_file() for name in _COMMANDS):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    building = target.with_name(f"{target.name}.{os.getpid()}")
    building.mkdir()
    try:
        for name in _COMMANDS:
            _build(name, building)
        # Another build may have been faster; its programs are the same.
        if target.exists():
            shutil.rmtree(target, ignore_errors=True)
        building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target


def _flags() -> tuple[str, ...]:
    number, base = version(), "k8s.io/component-base/version"
    major, minor, _ = number.removeprefix("v").split(".", 2)
    linker = f"-s -w -X {base}.gitVersion={number} -X {base}.gitMajor={major} -X {base}.gitMinor={minor}"
    return ("-trimpath", "-ldflags", linker)


def _build(name: str, into: Path) -> None:
    _tell(f"building {name} {version()} (minutes from nothing, seconds from Go's cache)")
    command = ("go", "build", "-v", *_flags(), "-o", str(into / name), f"k8s.io/kubernetes/cmd/{name}")
    process = subprocess.Popen(command, cwd=_MODULE, stderr=subprocess.PIPE, text=True)
    if process.stderr is None:
        raise RuntimeError("no output to read")
    said: list[str] = []
    done = threading.Event()
    reporter = threading.Thread(target=_report, args=(name, said, done), daemon=True)
    reporter.start()
    # One after the other, as they are said.
    said.extend(line.rstrip() for line in process.stderr)
    done.set()
    if process.wait() != 0:
        raise RuntimeError(f"go cannot build {name}:\n" + "\n".join(said[-20:]))


def _report(name: str, said: list[str], done: threading.Event) -> None:
    started = time.monotonic()
    while not done.wait(_TELL_SECONDS):
        _tell(f"{name}: {len(said)} packages after {time.monotonic() - started:.0f} s")


def _tell(text: str) -> None:
    print(f"   {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    reason = missing()
    _tell(f"skipped: {reason}" if reason else str(ensure()))
