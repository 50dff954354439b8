"""Where the local stack keeps everything: one directory, and short names for Unix sockets."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

#: Linux allows 107 bytes for the path of a Unix socket; the longest name that is put below is ``.s.PGSQL.5432``.
_LONGEST_SOCKET_DIR = 85


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDir:
    """Paths under one state directory. Nothing is made by asking for a path; see `prepare`."""

    root: Path

    @classmethod
    def at(cls, path: Path) -> StateDir:
        """That directory, by its absolute path."""
        return cls(root=path.expanduser().absolute())

    @property
    def settings(self) -> Path:
        """What every process of the stack, and the command line, reads as ``ROOST_SETTINGS_FILE``."""
        return self.root / "settings.yaml"

    @property
    def stack(self) -> Path:
        """The stack's id, ports and secrets, chosen once."""
        return self.root / "stack.json"

    @property
    def run(self) -> Path:
        """What the last start was asked for, and how long each part took."""
        return self.root / "run.json"

    @property
    def nodes(self) -> Path:
        """The directory of serving nodes that the deployer reads."""
        return self.root / "nodes.json"

    @property
    def policy(self) -> Path:
        """The policy, written once from defaults; people may edit it."""
        return self.root / "policy.yaml"

    @property
    def logs(self) -> Path:
        """One log per part."""
        return self.root / "logs"

    @property
    def supervisor(self) -> Path:
        """For the configuration of supervisord."""
        return self.root / "supervisor"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data."""
        return self.root / "postgres"

    @property
    def kafka(self) -> Path:
        """Apache Kafka's log, where `roost up --bus apache` runs it; the embedded broker keeps nothing."""
        return self.root / "kafka"

    @property
    def objects(self) -> Path:
        """The object store's files."""
        return self.root / "objects"

    @property
    def airflow(self) -> Path:
        """``AIRFLOW_HOME``."""
        return self.root / "airflow"

    @property
    def lock(self) -> Path:
        """Held by the one command that starts or stops this stack."""
        return self.root / "up.lock"

    @property
    def failure(self) -> Path:
        """Why the last start failed; absent after a good one."""
        return self.root / "last-failure.txt"

    @property
    def sockets(self) -> Path:
        """For Unix sockets and markers of running parts: under the root, or, where that is too long, a short one."""
        inside = self.root / "run"
        if len(os.fsencode(inside)) <= _LONGEST_SOCKET_DIR:
            return inside
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"roost-{os.getuid()}-{digest}"

    def log(self, part: str) -> Path:
        """The log of one part."""
        return self.logs / f"{part}.log"

    def prepare(self) -> None:
        """Make the directories, for this user alone. Raises OSError where the disk is full or not ours."""
        for directory in (self.root, self.logs, self.supervisor, self.objects, self.airflow, self.sockets):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.sockets.stat().st_uid != os.getuid():
            raise PermissionError(f"{self.sockets} belongs to somebody else: remove it, or set ROOST_STATE_DIR")


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by this user alone: half a file is never seen."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
