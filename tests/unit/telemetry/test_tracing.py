"""Traces: off they pass on and cost nothing; on they tell what happened, and nothing of a collector reaches the work."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode

from roost.contracts.cloudevents import Event
from roost.contracts.events import CUSTOMER_SIGNED_UP, CustomerSignedUp
from roost.contracts.trace_context import TraceContext, within
from roost.telemetry import logs, metrics, tracing
from roost.telemetry.otel import OtelBackend
from roost.telemetry.span_exporters import FileExporter
from tests.unit.telemetry.spans import ids, parent, place, traced

TOLD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-" + "c" * 32 + "-" + "d" * 16 + "-01"
T0 = datetime(2026, 1, 1, tzinfo=UTC)


def an_event(traceparent: str | None) -> Event:
    data = CustomerSignedUp(customer="acme")
    return Event(
        id="e1", type=CUSTOMER_SIGNED_UP, source="test", subject="acme", time=T0, data=data, traceparent=traceparent
    )


def lost(result: str) -> float:
    found: float = metrics.TRACE_SPANS.labels(result)._value.get()
    return found


def test_off_a_trace_is_passed_on_as_it_came_and_nothing_is_written() -> None:
    assert not tracing.on()
    with tracing.span("work", TOLD, {"a": 1}) as here:
        here.note(b=2)
        assert here.traceparent == tracing.here() == TOLD
        with tracing.publishing([an_event(TOLD)]) as sent:
            assert [event.traceparent for event in sent] == [TOLD]
    assert tracing.here() is None
    tracing.write(tracing.Finished(name="x", traceparent=TOLD, parent=TOLD, began=T0, ended=T0))
    tracing.stop()


def test_on_a_span_goes_on_from_its_parent_and_says_what_it_did() -> None:
    with traced("deployer") as written:
        with tracing.span("work", TOLD, {"customer": "acme"}, kind="consumer", links=[OTHER, "garbage"]) as here:
            here.note(outcome="PASS")
            assert tracing.here() == here.traceparent
        with tracing.span("root", None) as root:
            assert TraceContext.parsed(root.traceparent) is not None
    span = written.one("work")
    assert place(span) == ids(here.traceparent)
    assert (place(span)[0], parent(span)) == ids(TOLD)
    assert span.attributes == {"customer": "acme", "outcome": "PASS"}
    assert [f"{link.context.trace_id:032x}" for link in span.links] == ["c" * 32]
    assert span.resource.attributes["service.name"] == "roost-deployer"
    assert parent(written.one("root")) is None
    assert not tracing.on()


def test_what_is_raised_goes_on_and_stands_in_the_span_and_a_dropped_span_is_not_written() -> None:
    with traced() as written:
        with pytest.raises(ValueError, match="no good"), tracing.span("bad", TOLD):
            raise ValueError("no good")
        with tracing.span("nothing to tell", TOLD) as here:
            here.drop()
    [span] = written.all()
    assert (span.name, span.status.status_code) == ("bad", StatusCode.ERROR)
    assert span.status.description == "ValueError: no good"


def test_a_span_that_is_over_is_written_where_others_named_it_as_parent_before() -> None:
    own = within(TOLD, "phase/1")
    assert own is not None
    with traced() as written:
        with tracing.span("child", own):
            pass
        over = tracing.Finished(name="phase", traceparent=own, parent=TOLD, began=T0, ended=T0 + timedelta(seconds=2))
        tracing.write(over)
        tracing.write(replace(over, name="bad", error="too late", ended=T0 - timedelta(seconds=9)))
        tracing.write(replace(over, name="of no trace", traceparent="garbage"))
    phase, child = written.one("phase"), written.one("child")
    assert place(phase) == ids(own)
    assert parent(child) == place(phase)[1]
    assert parent(phase) == ids(TOLD)[1]
    assert phase.end_time is not None
    assert phase.start_time is not None
    assert phase.end_time - phase.start_time == 2_000_000_000
    bad = written.one("bad")
    assert (bad.status.description, bad.start_time) == ("too late", bad.end_time)
    assert not written.named("of no trace")


def test_each_event_carries_the_place_of_its_own_sending_and_one_of_no_trace_none() -> None:
    with traced() as written, tracing.publishing([an_event(TOLD), an_event(None)]) as [one, two]:
        assert two.traceparent is None
    sent = written.one("customers publish")
    assert place(sent) == ids(one.traceparent)
    assert parent(sent) == ids(TOLD)[1]
    with traced() as written, pytest.raises(OSError, match="away"), tracing.publishing([an_event(TOLD)]):
        raise OSError("away")
    assert written.one("customers publish").status.description == "OSError: away"


@pytest.mark.parametrize(("flags", "share", "written"), [("01", 0.0, 1), ("00", 1.0, 0)])
def test_who_began_a_trace_decides_whether_it_is_kept(flags: str, share: float, written: int) -> None:
    with traced(sample=share) as found, tracing.span("work", TOLD[:-2] + flags) as here:
        assert here.traceparent is not None
        assert here.traceparent.endswith(flags)
    assert len(found.all()) == written


def test_a_share_of_the_traces_that_begin_here_is_kept_but_one_that_links_to_a_kept_one_always() -> None:
    with traced(sample=0.5) as some:
        for _ in range(400):
            with tracing.span("root", None):
                pass
    assert 100 < len(some.all()) < 300
    with traced(sample=0.0) as none:
        with tracing.span("root", None, links=[TOLD[:-2] + "00"]):
            pass
        with tracing.span("group", None, links=[TOLD[:-2] + "00", TOLD]):
            pass
    assert [span.name for span in none.all()] == ["group"]


class Hanging(SpanExporter):
    """A collector that takes the connection and never answers."""

    def __init__(self) -> None:
        self.asked, self.let_go = threading.Event(), threading.Event()
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken = self.taken or len(spans)
        self.asked.set()
        self.let_go.wait(60)
        return SpanExportResult.SUCCESS


class Broken(SpanExporter):
    """A collector that fails in a way that nobody foresaw."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise RuntimeError("boom")


def test_a_collector_that_hangs_holds_nobody_up_and_what_finds_no_room_is_counted() -> None:
    exporter, before = Hanging(), lost("full")
    tracing.start(OtelBackend("test", exporter, queue=8))
    for _ in range(8):
        with tracing.span("work", TOLD):
            pass
    assert exporter.asked.wait(60)
    for _ in range(30):
        with tracing.span("work", TOLD):
            pass
    # Some are under way, eight wait, and there is no room for the rest.
    assert lost("full") - before == 38 - exporter.taken - 8
    tracing.stop(0.01)
    exporter.let_go.set()


def test_a_collector_that_breaks_is_told_once_and_its_losses_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    before = lost("refused")
    tracing.start(OtelBackend("test", Broken()))
    for _ in range(5):
        with tracing.span("work", TOLD):
            pass
    tracing.stop(30)
    assert lost("refused") - before == 5
    assert [record.getMessage() for record in caplog.records] == [
        "nobody takes the traces: spans are lost, and counted"
    ]


def test_the_file_has_a_line_of_json_a_span_and_one_that_cannot_be_written_loses_them(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    for _ in range(2):
        tracing.start(OtelBackend("test", FileExporter(file)))
        with tracing.span("work", TOLD, {"a": 1}, links=[OTHER]):
            pass
        tracing.stop(30)
    one, two = map(json.loads, file.read_text().splitlines())
    assert one | {"span_id": "", "began": "", "seconds": 0} == two | {"span_id": "", "began": "", "seconds": 0}
    assert (one["trace_id"], one["parent_id"]) == ids(TOLD)
    assert (one["name"], one["service"], one["attributes"], one["error"]) == ("work", "roost-test", {"a": 1}, None)
    assert one["links"] == [{"trace_id": "c" * 32, "span_id": "d" * 16}]
    before = lost("refused")
    tracing.start(OtelBackend("test", FileExporter(tmp_path)))
    with tracing.span("work", TOLD):
        pass
    tracing.stop(30)
    assert lost("refused") - before == 1


def test_a_log_line_names_the_trace_that_it_was_written_in() -> None:
    root, kept = logging.getLogger(), logging.getLogger().handlers[:]
    level, written = root.level, StringIO()
    try:
        logs.configure("test")
        for handler in root.handlers:
            assert isinstance(handler, logging.StreamHandler)
            handler.setStream(written)
        with tracing.bound(TOLD):
            logging.getLogger("roost.test").info("within")
        with tracing.bound("garbage"):
            logging.getLogger("roost.test").info("nowhere")
    finally:
        root.handlers[:] = kept
        root.setLevel(level)
    within_it, nowhere = map(json.loads, written.getvalue().splitlines())
    assert (within_it["trace_id"], within_it["span_id"]) == ids(TOLD)
    assert not {"trace_id", "span_id"} & nowhere.keys()
