"""Kafka's classes as Java keeps them ready between runs (class data sharing): half the processor time of each start."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from roost.contracts.errors import BrokerUnavailable
from roost.embedded.apache_kafka.brokers import Brokers
from roost.embedded.apache_kafka.program import Program, Say

#: On a machine that is too busy to make it in that time, nobody waits for it any longer. Seconds.
_PATIENCE: Final = 60.0


def quickened(program: Program, say: Say) -> Program:
    """The same program with its archive, which is made here where there is none: by one start and stop of a broker.

    Where that does not succeed, the program is returned as it is: it only starts more slowly.
    """
    archive = program.jars.with_name(f"{program.jars.name}-{_java_mark(program.java)}.jsa")
    if not archive.is_file():
        say("Apache Kafka: preparing Java's class archive, once (about ten seconds)")
        try:
            _make(program, archive)
        except (BrokerUnavailable, OSError) as error:
            say(f"Apache Kafka: starts without a class archive ({error})")
            return program
    return replace(program, options=(f"-XX:SharedArchiveFile={archive}",))


def _java_mark(java: str) -> str:
    """An archive is of one build of Java only."""
    said = subprocess.run([java, "-version"], capture_output=True, timeout=60, check=False)
    return hashlib.sha256(said.stdout + said.stderr).hexdigest()[:12]


def _make(program: Program, archive: Path) -> None:
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=f"{archive.name}.") as temporary:
        directory, made = Path(temporary) / "broker", Path(temporary) / "classes.jsa"
        plain = Brokers(program, directory)
        plain.format()
        # On other ports, of the storage that is there: the program that formats must not leave its archive, too.
        recording = Brokers(replace(program, options=(f"-XX:ArchiveClassesAtExit={made}",)), directory)
        recording.start(_PATIENCE)
        recording.stop()
        # Seen under its name only when whole.
        made.rename(archive)
