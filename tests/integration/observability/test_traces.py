"""Spans over the wire: OTLP to a collector, as a process of ours sends them by its settings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import SecretStr

from roost.process import traced
from roost.settings import Settings, TracingSettings
from roost.telemetry import metrics, tracing
from tests.parts import free_port

pytestmark = pytest.mark.integration

TOLD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@dataclass
class Collector:
    """What came."""

    address: str = ""
    authorizations: list[str | None] = field(default_factory=list)
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector on loopback."""
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.authorizations.append(self.headers["Authorization"])
            found.requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.address = f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def exported(result: str) -> float:
    found: float = metrics.TRACE_SPANS.labels(result)._value.get()
    return found


def test_a_collector_gets_the_spans_of_a_process_that_ends(collector: Collector) -> None:
    chosen = TracingSettings(
        exporter="otlp", endpoint=collector.address, authorization=SecretStr("Bearer of-ours"), timeout_seconds=60
    )
    before = exported("exported")
    with traced("deployer", Settings(tracing=chosen)):
        with tracing.span("work", TOLD, {"roost.customer": "acme"}):
            pass
        # A machine under load may need longer than the end of a process waits.
        tracing.stop(60)
    assert exported("exported") - before == 1
    [request] = collector.requests
    [resource] = request.resource_spans
    names = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert names["service.name"] == "roost-deployer"
    [span] = resource.scope_spans[0].spans
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("work", TOLD[3:35], TOLD[36:52])
    assert collector.authorizations == ["Bearer of-ours"]


def test_a_collector_that_is_not_there_costs_the_spans_and_nothing_else() -> None:
    chosen = TracingSettings(
        exporter="otlp", endpoint=f"http://127.0.0.1:{free_port()}/v1/traces", timeout_seconds=0.2, queue=4
    )
    before = exported("refused") + exported("full")
    with traced("deployer", Settings(tracing=chosen)):
        for _ in range(20):
            with tracing.span("work", TOLD):
                pass
        tracing.stop(60)
    assert exported("refused") + exported("full") - before == 20
