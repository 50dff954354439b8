"""What every long-running process does alike: logs, a stop signal, health, a clear end."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from roost.contracts.errors import Retryable, RoostError
from roost.settings import Settings
from roost.telemetry import logs, tracing

log = logging.getLogger(__name__)

#: Exit code where settings or a permanent fault stop the process: restarting will not help.
EXIT_PERMANENT = 78
#: Exit code where a dependency was away and the process could not wait for it: restarting may help.
EXIT_RETRY = 75


def run(name: str, settings: Settings, body: Callable[[threading.Event], None]) -> int:
    """Run `body` until it returns; SIGTERM and SIGINT set the event that it is given, and it drains.

    Returns the exit code. A `RoostError` that escapes is logged as one line, without a traceback; anything else is a
    bug and keeps its own.
    """
    logs.configure(name, level=settings.log_level, form=settings.log_format)
    stop = threading.Event()

    obey_signals(name, stop)
    log.info("%s starts", name, extra={"action": "start"})
    try:
        with traced(name, settings):
            body(stop)
    except RoostError as error:
        log.error(  # noqa: TRY400 (an expected end needs no traceback)
            "%s cannot go on: %s", name, error, extra={"action": "stop", "error": type(error).__name__}
        )
        return EXIT_RETRY if isinstance(error, Retryable) else EXIT_PERMANENT
    log.info("%s stopped", name, extra={"action": "stop"})
    sys.stderr.flush()
    return 0


@contextmanager
def traced(name: str, settings: Settings) -> Iterator[None]:
    """Within it this process writes traces, where the settings name an exporter. Its end hands over what waits."""
    chosen = settings.tracing
    if chosen.exporter == "none":
        yield
        return
    # The SDK costs start-up time and memory: only who asks for traces pays for it.
    from roost.telemetry import otel, span_exporters

    if chosen.exporter == "file":
        exporter = span_exporters.file_exporter(chosen.file or settings.state_dir / "traces.jsonl")
    else:
        secret = chosen.authorization
        headers = {"authorization": secret.get_secret_value()} if secret else {}
        exporter = span_exporters.otlp_exporter(chosen.endpoint, headers=headers, timeout=chosen.timeout_seconds)
    tracing.start(otel.OtelBackend(name, exporter, sample=chosen.sample, queue=chosen.queue))
    try:
        yield
    finally:
        tracing.stop()


def obey_signals(name: str, stop: threading.Event) -> None:
    """Have a thread log the first SIGTERM or SIGINT and set the event. For the main thread; `run` does it itself.

    A handler runs in the main thread, between any two of its instructions: where those were of the event's own lock,
    or of a log line under way, setting and logging there waited for ever for what they had interrupted. And it runs
    only once the main thread does: the system hands the signal to any thread, for one after a stop (SIGSTOP, a shell's
    Ctrl-Z), and a main thread that waits for this very event then never hears of it. So a thread reads the signal's
    number where the interpreter writes it at once. Signals are not masked: children would inherit the mask.
    """
    numbers, told = os.pipe()
    os.set_blocking(told, False)
    wanted = (signal.SIGTERM, signal.SIGINT)

    def obey() -> None:
        while (number := os.read(numbers, 1)[0]) not in wanted:
            continue
        log.info("%s drains after signal %d", name, number, extra={"action": "drain"})
        stop.set()

    threading.Thread(target=obey, name="signals", daemon=True).start()
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    for number in wanted:
        # An event loop of asyncio takes the descriptor for itself while it runs: then the handler tells.
        signal.signal(number, lambda number, _frame: os.write(told, bytes([number])))
