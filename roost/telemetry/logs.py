"""Logging: one JSON object a line in services, plain text for people. Facts travel as ``extra={"action": …}``."""

from __future__ import annotations

import logging
import sys

from pythonjsonlogger.json import JsonFormatter
from stamina.instrumentation import LoggingOnRetryHook, set_on_retry_hooks

from roost.contracts.trace_context import TraceContext
from roost.telemetry import tracing


def configure(process: str, *, level: str = "INFO", form: str = "json") -> None:
    """Send all logs of this process to standard error. `form` is ``json`` or ``text``."""
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        handler.setFormatter(
            JsonFormatter(
                "%(asctime)s %(levelname)s %(name)s %(message)s",
                rename_fields={"asctime": "at", "levelname": "level", "name": "logger"},
                static_fields={"process": process},
            )
        )
        handler.addFilter(_place)
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Where structlog is installed (Airflow brings it), retries would be printed to standard output, past all this.
    set_on_retry_hooks([LoggingOnRetryHook])
    # Client libraries tell of every connection attempt at INFO; ours tell of what it means.
    for noisy in ("kafka", "google", "urllib3", "httpx", "httpcore", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    # It warns of every pause of a busy machine.
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)
    # The Kafka client writes several errors a second while a broker is away. Its callers say it once, with the remedy.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    # The pool tells of every attempt to reconnect; who waits for the database says so once.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


def _place(record: logging.LogRecord) -> bool:
    """Say in which trace, and where in it, the line was written. Keeps every line."""
    found = TraceContext.parsed(tracing.here())
    if found is not None:
        record.trace_id, record.span_id = found.trace_id, found.span_id
    return True
