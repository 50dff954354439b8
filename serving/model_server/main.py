"""The command `roost-model-server`: `tensorflow_model_server`'s command line on the drop-in server."""

import logging
import signal
import sys
import threading
from collections.abc import Sequence

from serving.model_server import flags as command_line
from serving.model_server.flags import FlagError, Flags

#: Seconds that requests under way have to end after SIGTERM.
DRAIN_SECONDS = 10.0

_VERSION = "TensorFlow ModelServer: 2.21.0 (Roost's drop-in)\nTensorFlow Library: 2.21.0"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the process's exit code."""
    try:
        line = command_line.parse(sys.argv[1:] if arguments is None else arguments)
    except FlagError as error:
        sys.stderr.write(f"{error}\n{command_line.usage('roost-model-server')}")
        return 1
    if line.flags.version:
        print(_VERSION)
        return 0
    if not line.flags.model_base_path and not line.flags.model_config_file:
        print(command_line.usage("roost-model-server"), end="")
        return 1
    for argument in line.unknown:
        print(f"unknown argument: {argument}", flush=True)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    return _serve(line.flags)


def _serve(flags: Flags) -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # Imported only now: a wrong command line is told at once, and the runtime takes about a second.
    from serving.model_server.server import ModelServer
    from serving.model_server.statuses import StatusError

    server = ModelServer(flags)
    try:
        server.start(stop)
    except StatusError as error:
        server.abandon()
        if stop.is_set():
            return 0
        sys.stderr.write(f"Failed to start server. Error: {error}\n")
        return 1
    stop.wait()
    server.drain(DRAIN_SECONDS)
    return 0
