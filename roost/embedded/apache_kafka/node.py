"""One process of Apache Kafka: its properties, its storage, its life."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from roost.contracts.errors import BrokerUnavailable, SettingsInvalid
from roost.embedded.apache_kafka.program import LOGGING, Program
from roost.embedded.state_dir import write_private

_PROPERTIES: Final = "server.properties"
#: For a node to serve, on a machine that has much else to do.
START_SECONDS: Final = 240.0
#: A clean end hands leadership over first.
_STOP_SECONDS: Final = 60.0
_FORMAT_SECONDS: Final = 120.0


@dataclass(slots=True, kw_only=True)
class Node:
    """A broker that is a controller, too. Formatting is done once; start, kill and start again as often as you like."""

    program: Program
    #: For its properties, log and data; kept between lives.
    directory: Path
    number: int
    #: ``host:port`` by the listener's name.
    addresses: Mapping[str, str]
    properties: Mapping[str, str]
    heap_mb: int = 512
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        """What it says."""
        return self.directory / "kafka.log"

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process id while it lives, for signals such as SIGSTOP."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def environment(self) -> dict[str, str]:
        """Of its processes: Java finds a path with accents in such a locale only."""
        return os.environ | {"LC_ALL": "C.UTF-8"}

    def write(self) -> None:
        """Write ``server.properties`` and how it logs; the next start reads them."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy(LOGGING, self.directory / LOGGING.name)
        text = "".join(f"{name}={_escaped(value)}\n" for name, value in self.properties.items())
        write_private(self.directory / _PROPERTIES, text)

    def format(self, cluster_id: str, *arguments: str) -> None:
        """Prepare the storage, unless it was; further arguments as `kafka-storage format` takes them.

        Raises:
            SettingsInvalid: Kafka refuses the properties or the arguments; the text quotes it.
        """
        self.write()
        if (self.data / "meta.properties").is_file():
            return
        # One word: an id may begin with a dash.
        command = ["format", f"--cluster-id={cluster_id}", "--config", _PROPERTIES, *arguments]
        done = subprocess.run(
            self.program.command("kafka.tools.StorageTool", *command),
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_FORMAT_SECONDS,
            check=False,
        )
        if done.returncode:
            raise SettingsInvalid(f"Apache Kafka does not format {self.data}:\n{_end(done.stdout + done.stderr)}")

    @property
    def data(self) -> Path:
        """Its log segments and metadata."""
        return self.directory / self.properties["log.dirs"]

    def command(self) -> list[str]:
        """What runs it in its directory with its environment; for who keeps the process themselves."""
        return self.program.command("kafka.Kafka", _PROPERTIES, heap_mb=self.heap_mb)

    def launch(self) -> None:
        """Start the process and return at once."""
        if self.running:
            return
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Return once every listener takes connections: since KRaft that is when the cluster counts the broker in.

        Raises:
            BrokerUnavailable: it ended, or does not listen in time; the text quotes the end of its log.
        """
        until = time.monotonic() + seconds
        for address in self.addresses.values():
            while not _listens(address):
                if not self.running or time.monotonic() > until:
                    state = "does not listen" if self.running else "ended"
                    raise BrokerUnavailable(
                        f"Kafka node {self.number} {state} ({address}):\n{_end(self.log.read_text(errors='replace'))}"
                    )
                time.sleep(0.05)

    def start(self) -> None:
        """Start the process and wait until it serves. Raises `BrokerUnavailable`."""
        self.launch()
        self.wait()

    def kill(self) -> None:
        """End it at once, as kill -9 does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_STOP_SECONDS)
            self._process = None

    def stop(self) -> None:
        """SIGTERM: leadership is handed over; killed where that takes too long."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_SECONDS)
        self._process = None


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def _escaped(value: str) -> str:
    """As a Java properties file reads it back: it knows JSON's escapes, and nothing beyond Latin-1 without them."""
    return json.dumps(value)[1:-1]


def _end(text: str) -> str:
    return "\n".join(f"  | {line}" for line in text.splitlines()[-15:])
