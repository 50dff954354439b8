"""Plays kube-proxy: a Service's own address leads to one of its ready endpoints, chosen anew for each connection.

As with kube-proxy a connection stays where it went, and one to an endpoint that is gone fails: nothing is retried here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import sys
from pathlib import Path
from typing import Any

from tests.cluster.agent.api import Api
from tests.cluster.agent.sandbox import call

log = logging.getLogger(__name__)

Object = dict[str, Any]
#: Namespace and name of a Service.
Key = tuple[str, str]


class Services:
    """Follows Services and EndpointSlices."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._doors: dict[Key, list[asyncio.Server]] = {}
        self._addresses: dict[Key, str] = {}
        #: Slice to (its service, port name to number, ready addresses).
        self._slices: dict[str, tuple[Key, dict[str, int], list[str]]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_services())
            group.create_task(self._follow_slices())

    async def _follow_services(self) -> None:
        async for kind, service in self._api.watch("/api/v1/services", ""):
            key = (service["metadata"]["namespace"], service["metadata"]["name"])
            address = service["spec"].get("clusterIP", "None")
            if kind == "DELETED":
                await self._close(key)
            elif key not in self._doors and address != "None" and key != ("default", "kubernetes"):
                await self._open(key, address, service["spec"]["ports"])

    async def _follow_slices(self) -> None:
        async for kind, found in self._api.watch("/apis/discovery.k8s.io/v1/endpointslices", ""):
            metadata = found["metadata"]
            name = metadata.get("labels", {}).get("kubernetes.io/service-name")
            if kind == "DELETED" or name is None:
                self._slices.pop(metadata["uid"], None)
                continue
            ports = {port.get("name", ""): port["port"] for port in found.get("ports") or ()}
            ready = [one for one in found.get("endpoints") or () if one.get("conditions", {}).get("ready")]
            addresses = [address for one in ready for address in one["addresses"]]
            self._slices[metadata["uid"]] = ((metadata["namespace"], name), ports, addresses)

    async def _open(self, key: Key, address: str, ports: list[Object]) -> None:
        await call("ip", "addr", "add", f"{address}/32", "dev", "lo")
        self._addresses[key] = address
        doors = self._doors[key] = []
        for port in ports:

            async def lead(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str = port.get("name", "")
            ) -> None:
                await self._lead(key, name, reader, writer)

            doors.append(await asyncio.start_server(lead, address, port["port"]))

    async def _close(self, key: Key) -> None:
        for door in self._doors.pop(key, ()):
            door.close()
        if key in self._addresses:
            await call("ip", "addr", "del", f"{self._addresses.pop(key)}/32", "dev", "lo")

    async def _lead(self, key: Key, port: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        places = [
            (address, ports[port])
            for service, ports, addresses in self._slices.values()
            if service == key and port in ports
            for address in addresses
        ]
        try:
            if not places:
                raise ConnectionError(f"{key[1]} has no ready endpoint")
            there, back = await asyncio.open_connection(*random.choice(places))
        except OSError as error:
            log.warning("a connection to %s is refused: %s", key[1], error)
            # A reset, as the client would get from the address itself.
            writer.transport.abort()
            return
        await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    # The other direction may still have something to say to whom it comes from; a closed side says nothing more.
    with contextlib.suppress(OSError, RuntimeError):
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()


async def _main(url: str, ca_file: Path, tokens: dict[str, str]) -> None:
    await Services(Api(url, ca_file, tokens["proxy"])).run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(_main(sys.argv[1], Path(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())))
