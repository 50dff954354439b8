"""Members of a consumer group as the processes that they are in production: `roost consume models`, or `signups`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from roost.settings import DatabaseSettings, KafkaSettings

ROOT = Path(__file__).parents[2]


class Member:
    """One process."""

    def __init__(self, name: str, what: str, directory: Path, environment: dict[str, str], code: Path) -> None:
        self.name, self.log = name, directory / f"{name}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "roost", "consume", what],
                env=environment | {"PYTHONPATH": str(code)},
                cwd=code,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(30)

    def leave(self) -> None:
        """SIGTERM: it commits, leaves the group and ends."""
        self.process.terminate()
        assert self.process.wait(90) == 0, self.log.read_text()[-2000:]

    def freeze(self) -> None:
        """Stands still, and believes afterwards that its partitions are still its own."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def ready(self) -> bool:
        """Whether its two loops poll."""
        return self._asked("/readyz") is not None

    def lag(self, topic: str) -> dict[int, float]:
        """What its metrics say of each partition that it holds."""
        page = self._asked("/metrics") or ""
        wanted = 'roost_consumer_lag_events{partition="'
        lines = [line for line in page.splitlines() if line.startswith(wanted) and f'topic="{topic}"' in line]
        return {int(line.split('partition="')[1].split('"')[0]): float(line.split()[-1]) for line in lines}

    def _asked(self, path: str) -> str | None:
        for line in self.log.read_text().splitlines():
            if '"action": "listen"' in line:
                try:
                    with urllib.request.urlopen(f"http://{json.loads(line)['address']}{path}", timeout=5) as answer:
                        return str(answer.read().decode())
                except (urllib.error.URLError, OSError):
                    return None
        return None


class Members:
    """All that were started, living or not."""

    def __init__(self, kafka: KafkaSettings, database: DatabaseSettings, directory: Path) -> None:
        self._directory = directory
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ROOST_")},
            "ROOST_KAFKA__BOOTSTRAP": kafka.bootstrap,
            "ROOST_KAFKA__PARTITIONS": str(kafka.partitions),
            "ROOST_KAFKA__REPLICATION": str(kafka.replication),
            "ROOST_KAFKA__SESSION_TIMEOUT_MS": str(kafka.session_timeout_ms),
            "ROOST_KAFKA__HEARTBEAT_INTERVAL_MS": str(kafka.heartbeat_interval_ms),
            "ROOST_DATABASE__URL": database.url.get_secret_value(),
        }
        self.started: list[Member] = []

    def know(self, **environment: str) -> None:
        """Settings more for everybody who joins from now on."""
        self._environment |= environment

    def join(self, what: str = "models", *, code: Path = ROOT) -> Member:
        """One more, of that release."""
        name = f"member-{len(self.started) + 1}"
        self.started.append(Member(name, what, self._directory, self._environment, code))
        return self.started[-1]

    def roost(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command pointed at the same Kafka."""
        return subprocess.run(
            [sys.executable, "-m", "roost", *words],
            env=self._environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def end(self) -> None:
        for member in self.started:
            if member.process.poll() is None:
                member.process.kill()
            member.process.wait(30)
