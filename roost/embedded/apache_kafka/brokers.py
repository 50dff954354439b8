"""One broker, or a cluster of several: properties, ports and storage of each, made to fit together."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from roost.embedded import ports
from roost.embedded.apache_kafka.node import START_SECONDS, Node
from roost.embedded.apache_kafka.program import Program

_CONTROLLER: Final = "CONTROLLER"

_PATIENCE: Final = {
    # After a kill -9 the same broker is let in again only once its earlier life has timed out: not in 9 s.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "5000",
    # One machine may be busy with much else: a broker must not end since it was not counted in within a minute, nor the
    # controllers vote anew at each pause of two seconds (both seen).
    "initial.broker.registration.timeout.ms": "300000",
    "controller.quorum.fetch.timeout.ms": "5000",
    "controller.quorum.request.timeout.ms": "5000",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What is asked for. The defaults are one plain broker."""

    nodes: int = 1
    #: Security protocol by listener: ``{"INSIDE": "PLAINTEXT", "CLIENTS": "SASL_SSL"}``. The brokers speak with each
    #: other by the first. Every listener of every node gets a free loopback port.
    listeners: Mapping[str, str] = field(default_factory=lambda: {"PLAINTEXT": "PLAINTEXT"})
    #: Lines for ``server.properties`` of every node, above our own: keystores, SASL, an authorizer, timeouts.
    extras: Mapping[str, str] = field(default_factory=dict)
    #: Further arguments of ``kafka-storage format``, such as ``--add-scram SCRAM-SHA-512=[name=…,password=…]``.
    format_arguments: tuple[str, ...] = ()
    #: Of each node's Java heap.
    heap_mb: int = 512


class Brokers:
    """The processes of one Kafka. Ports and storage stay for as long as this object's directory is used."""

    def __init__(
        self, program: Program, directory: Path, layout: Layout | None = None, *, at: Mapping[str, int] | None = None
    ) -> None:
        """Nothing is written yet. Ports are free ones, unless `at` gives them by ``NODE-LISTENER``."""
        self.layout = layout or Layout()
        self._cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        numbers = range(1, self.layout.nodes + 1)
        names = [_CONTROLLER, *self.layout.listeners]
        chosen = at or ports.choose([f"{number}-{name}" for number in numbers for name in names])
        self._addresses = {
            number: {name: f"{ports.HOST}:{chosen[f'{number}-{name}']}" for name in names} for number in numbers
        }
        self.nodes = [self._node(program, directory / f"node-{number}", number) for number in numbers]

    def bootstrap(self, listener: str | None = None) -> str:
        """Addresses of all nodes, separated by commas; of the first listener unless one is named."""
        name = listener or next(iter(self.layout.listeners))
        return ",".join(addresses[name] for addresses in self._addresses.values())

    def start(self, seconds: float = START_SECONDS) -> Self:
        """Format where that was not done, start every node, and wait so long for each to serve.

        Raises:
            SettingsInvalid: Kafka refuses the properties.
            BrokerUnavailable: a node does not start; all are stopped again.
        """
        self.format()
        try:
            for node in self.nodes:
                node.launch()
            for node in self.nodes:
                node.wait(seconds)
        except BaseException:
            self.kill()
            raise
        return self

    def format(self) -> None:
        """Write each node's properties, and prepare its storage where that was not done. Raises `SettingsInvalid`."""
        for node in self.nodes:
            node.format(self._cluster_id, *self.layout.format_arguments)

    def kill(self) -> None:
        """End every node at once, as kill -9 does."""
        for node in self.nodes:
            node.kill()

    def stop(self) -> None:
        """End every node: cleanly while there is a quorum that takes leadership over, the last ones by force."""
        for node in self.nodes[: len(self.nodes) // 2 + 1]:
            node.stop()
        self.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _node(self, program: Program, directory: Path, number: int) -> Node:
        addresses = self._addresses[number]
        voters = ",".join(f"{other}@{all_[_CONTROLLER]}" for other, all_ in self._addresses.items())
        own = properties(number, addresses, voters, self.layout)
        clients = {name: address for name, address in addresses.items() if name != _CONTROLLER}
        return Node(
            program=program,
            directory=directory,
            number=number,
            addresses=clients,
            # Relative, since a comma in an absolute path would make it two.
            properties=own | {"log.dirs": "data"} | dict(self.layout.extras),
            heap_mb=self.layout.heap_mb,
        )


def properties(number: int, addresses: Mapping[str, str], voters: str, layout: Layout) -> dict[str, str]:
    """``server.properties`` of one node that is broker and controller; replicated as far as there are nodes."""
    protocols = {_CONTROLLER: "PLAINTEXT"} | dict(layout.listeners)
    copies = min(3, layout.nodes)
    in_sync = max(1, copies - 1)
    found = {
        "process.roles": "broker,controller",
        "node.id": str(number),
        "controller.quorum.voters": voters,
        "listeners": ",".join(f"{name}://{address}" for name, address in addresses.items()),
        "advertised.listeners": ",".join(f"{name}://{addresses[name]}" for name in layout.listeners),
        "inter.broker.listener.name": next(iter(layout.listeners)),
        "controller.listener.names": _CONTROLLER,
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
    } | _PATIENCE
    for prefix in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
        found |= {f"{prefix}.replication.factor": str(copies), f"{prefix}.num.partitions": "3"}
    for prefix in ("transaction.state.log", "share.coordinator.state.topic"):
        found[f"{prefix}.min.isr"] = str(in_sync)
    return found
