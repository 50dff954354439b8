"""Where traces go."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from roost.settings.section import Section


class TracingSettings(Section):
    """Traces (OpenTelemetry), from an event to the flip. Without an exporter nothing is written, no SDK imported."""

    exporter: str = Field(
        default="none", pattern="^(none|otlp|file)$", description="otlp: a collector; file: JSON lines"
    )
    endpoint: str = Field(
        default="http://127.0.0.1:4318/v1/traces", pattern="^https?://", description="of the collector, OTLP over HTTP"
    )
    authorization: SecretStr | None = Field(default=None, description="header Authorization for the collector")
    file: Path | None = Field(
        default=None, description="appended to by every process; None is traces.jsonl in the state directory"
    )
    sample: float = Field(default=1.0, ge=0, le=1, description="share of the traces that nobody upstream decided about")
    queue: int = Field(
        default=2048, ge=1, description="spans that wait to be handed over; more are dropped and counted"
    )
    timeout_seconds: float = Field(default=5, gt=0, description="of one batch to the collector, retries within")
    page: str | None = Field(
        default=None,
        pattern="^https?://",
        description="address of one trace in your tracing tool, with {trace_id}; the console links to it",
    )
