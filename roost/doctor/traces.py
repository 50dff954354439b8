"""Where traces go, where they are on: a collector that takes them, or a file that can be written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import httpx

from roost.doctor.findings import Finding, doubtful, or_well, well, wrong
from roost.settings import TracingSettings

ABOUT: Final = "tracing"
_SECONDS: Final = 5.0
#: What a collector answers where it does not like who asks, or where there is none at that path.
_REFUSED: Final = (401, 403)


def looked_at(tracing: TracingSettings, state_dir: Path) -> Sequence[Finding]:
    """Findings on what the settings say. Nothing is written: a collector is sent a request without a span."""
    if tracing.exporter == "none":
        return (well(ABOUT, "off: ROOST_TRACING__EXPORTER is none"),)
    if tracing.exporter == "file":
        target = tracing.file or state_dir / "traces.jsonl"
        return or_well(ABOUT, f"traces go to {target}", _found(tracing, _file(target)))
    return or_well(ABOUT, f"{tracing.endpoint} takes traces", _found(tracing, _collector(tracing)))


def _found(tracing: TracingSettings, where: Iterator[Finding]) -> Iterator[Finding]:
    yield from where
    if tracing.sample == 0:
        said = "traces are on, and none that begins here is kept (ROOST_TRACING__SAMPLE is 0)"
        yield doubtful(ABOUT, said, "give the share to keep, 0.1 say, or turn traces off: ROOST_TRACING__EXPORTER=none")
    if tracing.page is not None and "{trace_id}" not in tracing.page:
        said = f"ROOST_TRACING__PAGE is {tracing.page}: every link of the console leads to the same page"
        yield doubtful(ABOUT, said, "put {trace_id} where your tracing tool has it in a trace's address")


def _file(target: Path) -> Iterator[Finding]:
    place = target if target.exists() else target.parent
    if not place.exists():
        # The exporter makes the file and not its folder; the state directory is made by who starts.
        yield wrong(ABOUT, f"{target.parent}, where traces are to be written, does not exist", f"mkdir -p {place}")
    elif target.is_dir() or not os.access(place, os.W_OK):
        said = f"{place} cannot be written" + (": it is a folder" if target.is_dir() else " by this account")
        yield wrong(ABOUT, said, f"let it write there, or name another file in ROOST_TRACING__FILE (now {target})")


def _collector(tracing: TracingSettings) -> Iterator[Finding]:
    headers = {"Content-Type": "application/x-protobuf"}
    if tracing.authorization is not None:
        headers["Authorization"] = tracing.authorization.get_secret_value()
    where = tracing.endpoint
    try:
        # An export of nothing: the message of OTLP with no field set has no bytes (OTLP 1.9, OTLP/HTTP request).
        answer = httpx.post(where, content=b"", headers=headers, timeout=_SECONDS)
    except httpx.HTTPError as error:
        said = f"the collector at {where} does not answer ({error!r}): spans are dropped and counted"
        yield wrong(ABOUT, said, "is it up, and may this pod talk to it? Else correct ROOST_TRACING__ENDPOINT")
        return
    if answer.status_code in _REFUSED:
        said = f"the collector at {where} refuses this process ({answer.status_code})"
        yield wrong(ABOUT, said, "correct ROOST_TRACING__AUTHORIZATION: the whole header, such as Bearer …")
    elif not answer.is_success:
        said = f"{where} answers {answer.status_code} to an export of traces"
        yield wrong(ABOUT, said, "give the address of OTLP over HTTP, which ends in /v1/traces and is not gRPC's port")
