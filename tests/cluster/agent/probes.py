"""Startup, readiness and liveness of one running container, as the kubelet asks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tests.cluster.agent.container import Container

Object = dict[str, Any]
Verdict = Callable[[bool], Awaitable[None]]
_DEFAULTS: Final = {
    "initialDelaySeconds": 0,
    "periodSeconds": 10,
    "timeoutSeconds": 1,
    "successThreshold": 1,
    "failureThreshold": 3,
}


class Prober:
    """Asks from the node's side of the network. Cancel `run` when the container has ended."""

    def __init__(self, container: Container, address: str, changed: Callable[[], None]) -> None:
        self._container = container
        self._address = address
        self._changed = changed
        # The name and the number of each port.
        self._ports = {port.get("name"): port["containerPort"] for port in container.spec.get("ports", ())}

    async def run(self, kill: Callable[[str], Awaitable[None]]) -> None:
        """Ask for as long as the container runs. `kill` is told why, where a startup or liveness probe has failed."""
        spec = self._container.spec
        if "startupProbe" in spec and not await self._until_started(spec["startupProbe"]):
            await kill("startup probe failed")
            return
        self._set(started=True)
        # Each one has a life of its own.
        async with asyncio.TaskGroup() as group:
            if "readinessProbe" in spec:
                group.create_task(self._ready(spec["readinessProbe"]))
            else:
                self._set(ready=True)
            if "livenessProbe" in spec:
                group.create_task(self._alive(spec["livenessProbe"], kill))

    async def _until_started(self, probe: Object) -> bool:
        failures = 0
        await asyncio.sleep(_of(probe, "initialDelaySeconds"))
        while failures < _of(probe, "failureThreshold"):
            if await self._ask(probe):
                return True
            failures += 1
            await asyncio.sleep(_of(probe, "periodSeconds"))
        return False

    async def _ready(self, probe: Object) -> None:
        successes = failures = 0
        await asyncio.sleep(_of(probe, "initialDelaySeconds"))
        while True:
            if await self._ask(probe):
                successes, failures = successes + 1, 0
                if successes >= _of(probe, "successThreshold"):
                    self._set(ready=True)
            else:
                successes, failures = 0, failures + 1
                if failures >= _of(probe, "failureThreshold"):
                    self._set(ready=False)
            await asyncio.sleep(_of(probe, "periodSeconds"))

    async def _alive(self, probe: Object, kill: Callable[[str], Awaitable[None]]) -> None:
        failures = 0
        await asyncio.sleep(_of(probe, "initialDelaySeconds"))
        while failures < _of(probe, "failureThreshold"):
            failures = 0 if await self._ask(probe) else failures + 1
            await asyncio.sleep(_of(probe, "periodSeconds"))
        await kill("liveness probe failed")

    async def _ask(self, probe: Object) -> bool:
        seconds = float(_of(probe, "timeoutSeconds"))
        if "exec" in probe:
            return await self._container.run(probe["exec"]["command"], seconds)
        try:
            if "httpGet" in probe:
                return await self._get(probe["httpGet"], seconds)
            if "tcpSocket" in probe:
                opening = asyncio.open_connection(self._address, self._port(probe["tcpSocket"]["port"]))
                _, writer = await asyncio.wait_for(opening, seconds)
                writer.close()
                return True
        except (OSError, ValueError, TimeoutError):
            return False
        raise NotImplementedError(f"this agent has no such probe: {sorted(probe)}")

    async def _get(self, ask: Object, seconds: float) -> bool:
        if ask.get("scheme", "HTTP") != "HTTP":
            raise NotImplementedError("this agent asks without TLS only")
        return await asyncio.wait_for(self._status_is_good(self._port(ask["port"]), ask.get("path", "/")), seconds)

    async def _status_is_good(self, port: int, path: str) -> bool:
        """One connection each, as the kubelet does, and by hand: a client library would take more time than the answer."""
        reader, writer = await asyncio.open_connection(self._address, port)
        try:
            host = f"Host: {self._address}:{port}\r\nUser-Agent: kube-probe/1.34\r\nAccept: */*\r\nConnection: close"
            writer.write(f"GET {path} HTTP/1.1\r\n{host}\r\n\r\n".encode())
            words = (await reader.readline()).split()
            return len(words) > 1 and 200 <= int(words[1]) < 400
        finally:
            writer.close()

    def _port(self, port: int | str) -> int:
        return port if isinstance(port, int) else int(self._ports[port])

    def _set(self, **facts: bool) -> None:
        before = (self._container.started, self._container.ready)
        for name, value in facts.items():
            setattr(self._container, name, value)
        if self._container.started:
            self._container.came_up.set()
        if before != (self._container.started, self._container.ready):
            self._changed()


def _of(probe: Object, name: str) -> int:
    return int(probe.get(name, _DEFAULTS[name]))
