"""Apache Kafka's own commands. Its Maven artefacts hold their classes and not the scripts, which are written here."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from roost.embedded.apache_kafka import Program
from roost.embedded.apache_kafka.program import LOGGING, VERSION

#: The jar with `AclCommand`; what it needs is among the broker's.
_TOOLS: Final = f"kafka-tools-{VERSION}.jar"
_SUM: Final = "8a6939f310a61119cedaffc144119e9b2a374e32a7ec18f78e49ce5aeb71d6b0"
#: What each script of the release's bin/ hands its arguments to, by kafka-run-class.sh.
_CLASSES: Final = {
    "kafka-configs.sh": "kafka.admin.ConfigCommand",
    "kafka-acls.sh": "org.apache.kafka.tools.AclCommand",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The scripts, on PATH of a shell that stands in `directory`."""

    directory: Path

    @classmethod
    def written(cls, program: Program, cache: Path, directory: Path) -> Tools:
        """Write them. Skips, with the reason, where the jar is not there and cannot be fetched."""
        shutil.copy(LOGGING, directory / LOGGING.name)
        jar = _jar(cache)
        for name, main in _CLASSES.items():
            command = program.command(main, heap_mb=128)
            command[command.index("-cp") + 1] += f":{jar}"
            script = directory / name
            script.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
            script.chmod(0o755)
        return cls(directory=directory)

    def run(self, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """One line, as it stands on a page, by the shell."""
        given = os.environ | variables | {"PATH": f"{self.directory}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            command, shell=True, cwd=self.directory, env=given, capture_output=True, text=True, check=False, timeout=180
        )


def _jar(cache: Path) -> Path:
    place = cache / f"apache-kafka-tools-{_SUM[:12]}" / _TOOLS
    if not place.is_file():
        maven = shutil.which("mvn")
        if maven is None:
            pytest.skip(f"{_TOOLS} is not in {place.parent} yet, and Maven (mvn), which fetches it, is not on PATH")
        artifact = f"-Dartifact=org.apache.kafka:kafka-tools:{VERSION}"
        options = ["--quiet", "--batch-mode", "--strict-checksums", "--no-transfer-progress"]
        place.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [maven, *options, "dependency:copy", artifact, f"-DoutputDirectory={place.parent}"],
            cwd=place.parent,
            check=True,
            timeout=600,
        )
    assert hashlib.sha256(place.read_bytes()).hexdigest() == _SUM, (
        f"{place} is another file than was tried: who serves it?"
    )
    return place
