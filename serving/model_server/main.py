"""The command `roost-model-server`: `tensorflow_model_server`'s command line on the drop-in server."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import version

from serving.model_server import flags as command_line
from serving.model_server.flags import CommandLine, FlagError, Flags
from serving.model_server.rigour import Hazard, UnknownHazard, hazards
from serving.model_server.statuses import StatusError, invalid_argument

#: Seconds that requests under way have to end after SIGTERM.
DRAIN_SECONDS = 10.0
#: The official server's exit code for whatever keeps it from starting: it returns -1.
EXIT_FAILED = 255

_PROGRAM = "roost-model-server"
_SIGNALLED = 128


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the process's exit code.

    What is said where, and the exit codes, are the official server's: usage and a failed start on stdout, 255.
    """
    try:
        line = command_line.parse(sys.argv[1:] if arguments is None else arguments)
    except FlagError as error:
        sys.stderr.write(f"{error}\n")
        return _print_usage()
    if line.asks_for_help:
        return _print_usage()
    if line.flags.version:
        print(_version())
        return 0
    _tell_unknown(line)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    try:
        return _serve(line.flags, hazards(line.flags.rigour))
    except UnknownHazard as error:
        return _failed(invalid_argument(str(error)))


def _print_usage() -> int:
    print(command_line.usage(_PROGRAM), end="")
    return EXIT_FAILED


def _version() -> str:
    return (
        f"TensorFlow ModelServer: {version('tensorflow-serving-api')} (Roost's drop-in)\n"
        f"TensorFlow Library: {version('tensorflow')}"
    )


def _tell_unknown(line: CommandLine) -> None:
    if line.unknown:  # the first one only, as officially
        print(f"unknown argument: {line.unknown[0]}")
        print(command_line.usage(_PROGRAM), end="", flush=True)


def _failed(error: StatusError) -> int:
    print(f"Failed to start server. Error: {error}", flush=True)
    return EXIT_FAILED


def _serve(flags: Flags, dangers: frozenset[Hazard]) -> int:
    stop = threading.Event()
    _obey_signals(stop, at_once=Hazard.NO_DRAIN in dangers)
    try:
        _check(flags)
        # Imported only now: signals are masked, and what these bring starts threads of its own, which take the mask
        # over; a config that cannot be used is told at once, and the runtime takes about a second.
        from serving.model_server.config_files import first_config

        config = first_config(flags)
        from serving.model_server.server import ModelServer

        server = ModelServer(flags, dangers)
    except StatusError as error:
        return _failed(error)
    try:
        server.start(config, stop)
    except StatusError as error:
        server.abandon()
        return 0 if stop.is_set() else _failed(error)
    stop.wait()
    server.drain(DRAIN_SECONDS)
    return 0


def _obey_signals(stop: threading.Event, *, at_once: bool) -> None:
    """The first signal asks for an end in order; a second one ends the process there and then.

    A thread takes them: a handler runs in the main thread, whatever that is doing, and setting an event that it was
    about to wait for hung one server in three that was ended as soon as it was ready.
    """
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)

    def obey() -> None:
        while True:
            number = signal.sigwait(signals)
            if stop.is_set() or at_once:
                os._exit(_SIGNALLED + number)
            stop.set()

    threading.Thread(target=obey, name="signals", daemon=True).start()


def _check(flags: Flags) -> None:
    """Refuse what no server can be made of, before a runtime is loaded. Raises INVALID_ARGUMENT."""
    if not flags.port and not flags.grpc_socket_path:
        raise invalid_argument(
            "At least one of server_options.grpc_port or server_options.grpc_socket_path must be set."
        )
    if not flags.model_base_path and not flags.model_config_file:
        raise invalid_argument("Both server_options.model_base_path and server_options.model_config_file are empty!")
    both = flags.tensorflow_intra_op_parallelism > 0 and flags.tensorflow_inter_op_parallelism > 0
    if both and flags.tensorflow_session_parallelism > 0:
        raise invalid_argument(
            "Either configure server_options.tensorflow_session_parallelism or "
            "(server_options.tensorflow_intra_op_parallelism, server_options.tensorflow_inter_op_parallelism) "
            "separately. You cannot configure all."
        )
