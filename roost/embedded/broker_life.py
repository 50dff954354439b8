"""The life of the local stack's broker, whichever it is: started, given its topics, told ready, ended."""

from __future__ import annotations

import ctypes
import logging
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from roost.contracts.errors import Retryable, RoostError, SettingsInvalid
from roost.settings import KafkaSettings

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG: Final = 1
_TOPICS_SECONDS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerProgram:
    """How one kind of broker is run."""

    command: Sequence[str]
    #: Within which it must listen.
    listen_seconds: float
    directory: Path | None = None
    #: The whole environment of the process; None is ours.
    environment: Mapping[str, str] | None = field(default=None)


def live(program: BrokerProgram, kafka: KafkaSettings, marker: Path) -> int:
    """Run the broker until it ends, and return its exit code; SIGTERM and SIGINT are passed on to it.

    `marker` is there exactly while the broker runs and has its topics, which is what "ready" means.

    Raises:
        SettingsInvalid: it ended before it listened, or does not listen in time.
        Retryable: it listens and takes no topics.
    """
    marker.unlink(missing_ok=True)
    with subprocess.Popen(
        program.command,
        cwd=program.directory,
        env=program.environment,
        preexec_fn=_die_with_parent,  # noqa: PLW1509  # no threads yet
    ) as broker:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: broker.terminate())
        try:
            _await_listening(kafka.bootstrap, broker, program.listen_seconds)
            _ensure_topics(kafka)
        except RoostError:
            broker.kill()
            raise
        marker.touch()
        try:
            return broker.wait()
        finally:
            marker.unlink(missing_ok=True)


def _die_with_parent() -> None:
    """The kernel kills the broker when this process is killed, so that the port is free for the next one."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _await_listening(address: str, broker: subprocess.Popen[bytes], seconds: float) -> None:
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if broker.poll() is not None:
            raise SettingsInvalid(f"the broker ended with code {broker.returncode} before it listened on {address}")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SettingsInvalid(f"the broker does not listen on {address} after {seconds:.0f} s")


def _ensure_topics(kafka: KafkaSettings) -> None:
    from roost.adapters.kafka import open_admin
    from roost.ports.event_bus import topics

    wanted = topics(partitions=kafka.partitions, replication=kafka.replication)
    deadline = time.monotonic() + _TOPICS_SECONDS
    while True:
        try:
            made = open_admin(kafka).ensure(wanted)
        except Retryable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            log.info(
                "topics are there; made now: %s",
                ", ".join(name for name, what in made.items() if what == "created") or "none",
                extra={"action": "topics"},
            )
            return
