"""Spans in this process: OpenTelemetry's own in-memory exporter behind Roost's backend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from roost.telemetry import tracing
from roost.telemetry.otel import OtelBackend


@dataclass
class Written:
    """What was written; complete once the traces are off again."""

    exporter: InMemorySpanExporter

    def all(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        [span] = self.named(name)
        return span


@contextmanager
def traced(process: str = "test", *, sample: float = 1.0, queue: int = 2048) -> Iterator[Written]:
    """Traces are on within it, and handed over at its end."""
    exporter = InMemorySpanExporter()
    tracing.start(OtelBackend(process, exporter, sample=sample, queue=queue))
    try:
        yield Written(exporter)
    finally:
        tracing.stop(30)


def ids(traceparent: str | None) -> tuple[str, str]:
    """Trace and span."""
    assert traceparent is not None
    _, trace, span, _ = traceparent.split("-")
    return trace, span


def place(span: ReadableSpan) -> tuple[str, str]:
    """Trace and span."""
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def parent(span: ReadableSpan) -> str | None:
    """The parent's id."""
    return f"{span.parent.span_id:016x}" if span.parent else None
