"""Spans by OpenTelemetry's SDK. Imported only where traces are on: see `roost.telemetry.tracing`."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.util.types import Attributes

from roost import __version__
from roost.contracts.trace_context import TraceContext
from roost.telemetry import metrics
from roost.telemetry.tracing import Attribute, Begun, Finished, Live

log = logging.getLogger(__name__)

#: How long a span waits for others to be handed over with it. Milliseconds.
_TOGETHER: Final = 500.0
_BATCH: Final = 512
_GIVEN: ContextVar[int | None] = ContextVar("roost_span_id", default=None)


class OtelBackend:
    """Implements `roost.telemetry.tracing.Backend`."""

    def __init__(self, process: str, exporter: SpanExporter, *, sample: float = 1.0, queue: int = 2048) -> None:
        """`sample` is the share of traces that are kept where nobody upstream decided; `queue` bounds what waits."""
        resource = Resource(
            {
                "service.name": f"roost-{process}",
                "service.version": __version__,
                "service.instance.id": f"{socket.gethostname()}/{os.getpid()}",
            }
        )
        self._provider = TracerProvider(
            sampler=ParentBased(root=_Root(sample)), resource=resource, id_generator=_Ids(), shutdown_on_exit=False
        )
        self._provider.add_span_processor(_Bounded(_Counted(exporter, queue), queue))
        self._tracer = self._provider.get_tracer("roost", __version__)
        # It tells of every try at a collector that is away; `_Counted` tells once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    def begin(self, begun: Begun) -> Live:
        """A span that begins now."""
        return _Live(
            self._tracer.start_span(
                begun.name,
                context=_context(begun.parent),
                kind=SpanKind[begun.kind.upper()],
                attributes=dict(begun.attributes),
                links=_links(begun.links),
            )
        )

    def write(self, finished: Finished) -> None:
        """A span that is over, with the id that its traceparent says."""
        own = TraceContext.parsed(finished.traceparent)
        if own is None:
            return
        with _as(int(own.span_id, 16)):
            span = self._tracer.start_span(
                finished.name,
                context=_context(finished.parent),
                attributes=dict(finished.attributes),
                links=_links(finished.links),
                start_time=_nanoseconds(finished.began),
            )
        if finished.error is not None:
            span.set_status(StatusCode.ERROR, finished.error)
        span.end(_nanoseconds(max(finished.began, finished.ended)))

    def close(self, seconds: float) -> None:
        """Hand over what waits; a collector that hangs is left behind, with the process's other daemon threads."""
        # The SDK's own end waits for half a minute.
        ending = threading.Thread(target=self._provider.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(seconds)


class _Live:
    def __init__(self, span: ApiSpan) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        found = self._span.get_span_context()
        flag = "01" if found.trace_flags.sampled else "00"
        return f"00-{found.trace_id:032x}-{found.span_id:016x}-{flag}"

    def note(self, attributes: Mapping[str, Attribute]) -> None:
        self._span.set_attributes(dict(attributes))

    def end(self, error: str | None) -> None:
        if error is not None:
            self._span.set_status(StatusCode.ERROR, error)
        self._span.end()


class _Ids(RandomIdGenerator):
    """Random ids, but for a span whose id others know already."""

    def generate_span_id(self) -> int:
        return _GIVEN.get() or super().generate_span_id()


class _Root(Sampler):
    """Decides where a trace begins: one that links to others is kept with them, else the share of the settings."""

    def __init__(self, share: float) -> None:
        self._share = TraceIdRatioBased(share)

    def should_sample(  # noqa: PLR0913, PLR0917 (the SDK's signature)
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        asked = (parent_context, trace_id, name, kind, attributes, links, trace_state)
        if any(link.context.trace_flags.sampled for link in links or ()):
            return ALWAYS_ON.should_sample(*asked)
        return self._share.should_sample(*asked)

    def get_description(self) -> str:
        return f"roost/{self._share.get_description()}"


class _Bounded(BatchSpanProcessor):
    """Hands over in batches, on a thread of its own. What finds the queue full is dropped and counted."""

    def __init__(self, counted: _Counted, queue: int) -> None:
        super().__init__(
            counted,
            max_queue_size=queue,
            schedule_delay_millis=_TOGETHER,
            max_export_batch_size=min(_BATCH, queue),
        )
        self._counted = counted

    def on_end(self, span: ReadableSpan) -> None:
        if span.context and span.context.trace_flags.sampled and self._counted.admits():
            super().on_end(span)


class _Counted(SpanExporter):
    """Counts what is handed over, and what is lost and why; tells of a change, not of each loss."""

    def __init__(self, inner: SpanExporter, queue: int) -> None:
        self._inner = inner
        self._queue = queue
        self._lock = threading.Lock()
        self._waiting = 0
        self._refused = False
        for result in ("exported", "full", "refused"):
            metrics.TRACE_SPANS.labels(result)

    def admits(self) -> bool:
        with self._lock:
            room = self._waiting < self._queue
            self._waiting += 1 if room else 0
        if not room:
            metrics.TRACE_SPANS.labels("full").inc()
        return room

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._lock:
            self._waiting -= len(spans)
        try:
            result = self._inner.export(spans)
        except Exception as error:  # noqa: BLE001 (whatever a collector does, the work goes on; the loss is counted)
            log.debug("traces are not taken: %r", error)
            result = SpanExportResult.FAILURE
        refused = result is not SpanExportResult.SUCCESS
        metrics.TRACE_SPANS.labels("refused" if refused else "exported").inc(len(spans))
        if refused != self._refused:
            self._refused = refused
            words = "nobody takes the traces: spans are lost, and counted" if refused else "traces are taken again"
            log.log(logging.WARNING if refused else logging.INFO, words, extra={"action": "traces"})
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


def _nanoseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1e6) * 1000


def _span_context(traceparent: str | None) -> SpanContext | None:
    found = TraceContext.parsed(traceparent)
    if found is None:
        return None
    flags = TraceFlags(TraceFlags.SAMPLED if found.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(found.trace_id, 16), int(found.span_id, 16), is_remote=True, trace_flags=flags)


def _context(traceparent: str | None) -> Context:
    found = _span_context(traceparent)
    return Context() if found is None else set_span_in_context(NonRecordingSpan(found), Context())


def _links(traceparents: Sequence[str]) -> list[Link]:
    return [Link(found) for one in traceparents if (found := _span_context(one)) is not None]


@contextmanager
def _as(span_id: int) -> Iterator[None]:
    token = _GIVEN.set(span_id)
    try:
        yield
    finally:
        _GIVEN.reset(token)
