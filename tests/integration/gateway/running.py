"""A real Envoy with a rendered configuration, as a node would start it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx

from roost.settings import GatewaySettings
from serving.gateway import binary
from serving.gateway.admin import GatewayAdmin
from serving.gateway.config import GatewayConfig
from serving.gateway.render import configuration, render
from tests.parts import free_port


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """One gateway that takes requests."""

    config: GatewayConfig
    admin: GatewayAdmin
    client: httpx.Client
    channel: grpc.Channel
    process: subprocess.Popen[bytes]

    def call(self, method: str, request: bytes, *, token: str | None = None, seconds: float = 60) -> bytes:
        """The bytes that the model server got for this gRPC request. Raises `grpc.RpcError`."""
        metadata = [("authorization", f"Bearer {token}")] if token else []
        return self.channel.unary_unary(method)(request, timeout=seconds, metadata=metadata)


def logged(file: Path) -> list[dict[str, Any]]:
    """The lines of an access log, without one that is being written."""
    whole, _, _ = file.read_text().rpartition("\n") if file.exists() else ("", "", "")
    return [json.loads(line) for line in whole.splitlines()]


def configured(directory: Path, *, socket: Path, rest: str, settings: GatewaySettings | None = None) -> GatewayConfig:
    """A configuration on free ports."""
    return GatewayConfig(
        rest=f"127.0.0.1:{free_port()}",
        grpc=f"127.0.0.1:{free_port()}",
        upstream_grpc_socket=socket,
        upstream_rest=rest,
        admin_socket=directory / "admin.sock",
        settings=settings or GatewaySettings(),
        work_dir=directory,
    )


@contextmanager
def running(config: GatewayConfig) -> Iterator[Running]:
    """The gateway of `config`, started and ready."""
    with started(config, render(config)) as it:
        yield it


@contextmanager
def started(config: GatewayConfig, rendered: str, *, flush_ms: int = 20) -> Iterator[Running]:
    """The same with a configuration text that a test has changed; `flush_ms`: how long a line of a log may wait."""
    file = config.work_dir / "envoy.json"
    file.write_text(rendered)
    for secret, content in configuration(config).beside.items():
        secret.write_text(content)
    log = config.work_dir / "envoy.log"
    admin = GatewayAdmin(config.admin_socket)
    with (
        log.open("wb") as output,
        subprocess.Popen(_command(file, flush_ms), stdout=output, stderr=subprocess.STDOUT) as process,
        httpx.Client(base_url=f"http://{config.rest}", timeout=60) as client,
        grpc.insecure_channel(config.grpc) as channel,
    ):
        try:
            _await_ready(admin, process, log)
            yield Running(config=config, admin=admin, client=client, channel=channel, process=process)
        finally:
            process.terminate()
            process.wait(60)


def _command(file: Path, flush_ms: int) -> list[str]:
    """A node's command line, but with logs that are written at once: no test waits a second for a line."""
    arguments = binary.command(binary.find_envoy("auto"), file)
    arguments[arguments.index("--file-flush-interval-msec") + 1] = str(flush_ms)
    return arguments


def _await_ready(admin: GatewayAdmin, process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not admin.ready():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the gateway does not get ready: {log.read_text()[-2000:]}")
        time.sleep(0.02)
