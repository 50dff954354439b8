"""Apache Kafka in the local stack: `python -m roost.embedded.apache_kafka MARKER DIRECTORY PORT` runs it.

`DIRECTORY` keeps everything between `roost down` and the next `roost up`. `PORT` is the controller's; the broker's own
address is in the settings. `MARKER` appears once it runs and its topics are made.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from roost import settings
from roost.contracts.errors import RoostError, SettingsInvalid
from roost.embedded.apache_kafka import Brokers, installed
from roost.embedded.broker_life import BrokerProgram, live
from roost.embedded.positionals import positionals
from roost.telemetry import logs

log = logging.getLogger("roost.embedded.apache_kafka")

_LISTEN_SECONDS = 360
#: How Java ends when it was asked to by SIGTERM.
_TERMINATED = 143


def main(arguments: list[str]) -> int:
    """Run the broker until it ends, and return its exit code; SIGTERM and SIGINT are passed on to it."""
    meanings = {"marker": "file that says it is ready", "directory": "its log", "port": "the controller's"}
    *paths, port = positionals("roost.embedded.apache_kafka", __doc__, arguments, **meanings)
    if not port.isdecimal():
        raise SettingsInvalid(f"PORT {port!r} is not a number")
    marker, directory = map(Path, paths)
    loaded = settings.load()
    logs.configure("broker", level=loaded.log_level, form=loaded.log_format)
    own = int(loaded.kafka.bootstrap.rpartition(":")[2])
    program = installed(settings.cache_dir(), lambda line: log.info(line, extra={"action": "fetch"}))
    brokers = Brokers(program, directory, at={"1-PLAINTEXT": own, "1-CONTROLLER": int(port)})
    brokers.format()
    [node] = brokers.nodes
    return live(
        BrokerProgram(
            command=node.command(),
            directory=node.directory,
            environment=node.environment,
            listen_seconds=_LISTEN_SECONDS,
        ),
        loaded.kafka,
        marker,
    )


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except (RoostError, OSError) as error:
        raise SystemExit(f"broker cannot start: {error}") from error
    raise SystemExit(0 if code == _TERMINATED else code)
