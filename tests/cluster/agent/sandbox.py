"""A pod's network: a namespace that lives as long as the pod, tied to the bridge, with an address of its own."""

from __future__ import annotations

import asyncio
import itertools
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.cluster import network

SHIM: Final = (sys.executable, "-I", "-S", str(Path(__file__).with_name("shim.py")))


class Addresses:
    """Pod addresses, each for one pod at a time; one that was given back is taken again last."""

    def __init__(self) -> None:
        self._taken: set[int] = set()
        self._numbers: Iterator[int] = itertools.cycle(range(2, 255))

    def take(self) -> str:
        """A free one."""
        number = next(number for number in self._numbers if number not in self._taken)
        self._taken.add(number)
        return f"{network.PODS}.{number}"

    def give_back(self, address: str) -> None:
        """It may be another pod's from now on."""
        self._taken.discard(int(address.rpartition(".")[2]))


class Sandbox:
    """The process that holds the namespace. Started by the thread that lives longest: it ends with that one."""

    def __init__(self, process: Process, address: str) -> None:
        self._process = process
        self.address = address

    @property
    def pid(self) -> int:
        """Of the process in whose network the pod's containers are."""
        return self._process.pid

    @classmethod
    async def start(cls, address: str) -> Sandbox:
        """Ready with loopback, address and a route to everything on the bridge."""
        process = await asyncio.create_subprocess_exec(*SHIM, "pause", stdin=DEVNULL, stdout=PIPE)
        if process.stdout is None or await process.stdout.readline() != b"ready\n":
            raise RuntimeError("the pod's network namespace was not made")
        link, inside = f"pod{address.rpartition('.')[2]}", ("nsenter", "-t", str(process.pid), "-n")
        # A killed pod's device may take a moment to go with its namespace.
        await call("ip", "link", "delete", link, check=False)
        await call("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(process.pid))
        await call("ip", "link", "set", link, "master", network.BRIDGE, "up")
        await call(*inside, "ip", "link", "set", "lo", "up")
        await call(*inside, "ip", "addr", "add", f"{address}/16", "dev", "eth0")
        await call(*inside, "ip", "link", "set", "eth0", "up")
        await call(*inside, "ip", "route", "add", "default", "via", network.HOST)
        return cls(process, address)

    async def stop(self) -> None:
        """End it; the network goes with it."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


async def call(*words: str, check: bool = True) -> None:
    """One short command."""
    process = await asyncio.create_subprocess_exec(*words, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)
    _, said = await process.communicate()
    if check and process.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {said.decode().strip()}")
