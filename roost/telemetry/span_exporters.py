"""Where spans go: a file, or a collector by OTLP. Imported only where traces are on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode


class FileExporter(SpanExporter):
    """One line of JSON a span, appended. Several processes may share the file: a batch is one write."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened before the first batch."""
        self._path = path

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append them. A disk that is full loses them."""
        lines = "".join(json.dumps(_document(span)) + "\n" for span in spans).encode()
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                whole = os.write(descriptor, lines) == len(lines)
            finally:
                os.close(descriptor)
        except OSError:
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS if whole else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Nothing is held open."""


def file_exporter(path: Path) -> SpanExporter:
    """To a file of JSON lines."""
    return FileExporter(path)


def otlp_exporter(endpoint: str, *, headers: Mapping[str, str], timeout: float) -> SpanExporter:
    """To a collector, by OTLP over HTTP. `timeout` is in seconds, of one batch with its retries."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint, headers=dict(headers), timeout=timeout)


def _document(span: ReadableSpan) -> dict[str, object]:
    context, parent = span.get_span_context(), span.parent
    return {
        "trace_id": f"{context.trace_id:032x}" if context else None,
        "span_id": f"{context.span_id:016x}" if context else None,
        "parent_id": f"{parent.span_id:016x}" if parent else None,
        "name": span.name,
        "kind": span.kind.name.lower(),
        "service": span.resource.attributes.get("service.name"),
        "instance": span.resource.attributes.get("service.instance.id"),
        "began": _instant(span.start_time),
        "seconds": round(((span.end_time or 0) - (span.start_time or 0)) / 1e9, 6),
        "error": span.status.description if span.status.status_code is StatusCode.ERROR else None,
        "attributes": dict(span.attributes or {}),
        "links": [
            {"trace_id": f"{link.context.trace_id:032x}", "span_id": f"{link.context.span_id:016x}"}
            for link in span.links
        ],
    }


def _instant(nanoseconds: int | None) -> str:
    return datetime.fromtimestamp((nanoseconds or 0) / 1e9, UTC).isoformat()
