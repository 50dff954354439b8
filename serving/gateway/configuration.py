"""One configuration in two forms: whole, for review and `envoy --mode validate`; and in files, for a gateway that runs.

In files, routes and the clusters that come and go stand apart from the bootstrap. Envoy watches their directory and
takes up a file that is moved into place, without closing a connection. Listeners and filters do not change while it
runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from serving.gateway.messages import Message, pipe_address, typed

_ROUTES_TYPE: Final = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
_CLUSTER_TYPE: Final = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
#: The file of clusters; a file of routes is called after them.
CLUSTERS: Final = "clusters"
#: In the metadata of Envoy's node: by which bootstrap it runs.
DIGEST: Final = "configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of a gateway that runs. `version` is a digest of what it says."""

    name: str
    version: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A gateway's whole configuration."""

    node: str
    admin_socket: Path
    #: Listeners with their routes in them.
    listeners: Sequence[Message]
    #: Clusters that are there as long as the gateway.
    clusters: Sequence[Message] = ()
    #: Clusters that come and go.
    changing: Sequence[Message] = ()
    #: Names of the routes that change while the gateway runs.
    doors: Sequence[str] = ("rest", "grpc")
    #: Further fields of Envoy's bootstrap.
    more: Mapping[str, object] = field(default_factory=dict)
    #: Files that Envoy reads besides, and their content: they name certificates.
    beside: Mapping[Path, str] = field(default_factory=dict)

    def whole(self) -> Message:
        """Envoy's bootstrap message with everything in it."""
        return self._bootstrap(self.listeners, [*self.clusters, *self.changing], {})

    def apart(self, directory: Path) -> Message:
        """Envoy's bootstrap message that takes routes and changing clusters from files in `directory`.

        It says its own digest, so that a running Envoy can be asked whether it is this one that it was started with.
        """
        listeners = [self._without_routes(each, directory) for each in self.listeners]
        dynamic: Message = {"dynamic_resources": {"cds_config": _source(directory, CLUSTERS)}}
        found = self._bootstrap(listeners, self.clusters, dynamic)
        return {**found, "node": {**cast("Message", found["node"]), "metadata": {DIGEST: _digest(as_text(found))}}}

    def parts(self) -> dict[str, Part]:
        """The files of that directory by their names, without suffix."""
        routes = [manager["route_config"] for each in self.listeners for manager in _managers(each)]
        found = [cast("Message", each) for each in routes]
        parts = [_part(str(each["name"]), _ROUTES_TYPE, [each]) for each in found if each["name"] in self.doors]
        return {part.name: part for part in (_part(CLUSTERS, _CLUSTER_TYPE, self.changing), *parts)}

    def _without_routes(self, listener: Message, directory: Path) -> Message:
        copy = cast("Message", json.loads(json.dumps(listener)))
        for manager in _managers(copy):
            name = str(cast("Message", manager["route_config"])["name"])
            if name in self.doors:
                del manager["route_config"]
                manager["rds"] = {"route_config_name": name, "config_source": _source(directory, name)}
        return copy

    def _bootstrap(self, listeners: Iterable[Message], clusters: Iterable[Message], dynamic: Message) -> Message:
        return {
            "node": {"id": self.node, "cluster": "roost"},
            # Whoever opens the admin socket can stop the gateway: only its owner can.
            "admin": {"address": pipe_address(str(self.admin_socket.absolute()), mode=0o600)},
            "static_resources": {"listeners": list(listeners), "clusters": list(clusters)},
            **dynamic,
            **self.more,
        }


def as_text(document: Message) -> str:
    """The document as JSON. The same document gives the same text."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def digest_of(bootstrap: Message) -> str:
    """The digest that a bootstrap with its parts apart says of itself."""
    return str(cast("Message", cast("Message", bootstrap["node"])["metadata"])[DIGEST])


def clusters_of(configurations: Iterable[Configuration]) -> Part:
    """The file with the changing clusters of all of them: none is missing while one replaces another."""
    every: dict[str, Message] = {}
    for each in configurations:
        every |= {str(cluster["name"]): cluster for cluster in each.changing}
    return _part(CLUSTERS, _CLUSTER_TYPE, list(every.values()))


def _managers(listener: Message) -> Iterator[Message]:
    """The HTTP connection managers of a listener, each with routes in it."""
    for chain in cast("list[Message]", listener["filter_chains"]):
        for network_filter in cast("list[Message]", chain["filters"]):
            manager = cast("Message", network_filter["typed_config"])
            if "route_config" in manager:
                yield manager


def _source(directory: Path, name: str) -> Message:
    directory = directory.absolute()
    path = {"path": str(directory / f"{name}.json"), "watched_directory": {"path": str(directory)}}
    return {"path_config_source": path, "resource_api_version": "V3"}


def _part(name: str, url: str, resources: Sequence[Message]) -> Part:
    named = [typed(url, each) for each in resources]
    # Compact: with ten thousand names, the indentation would be most of what Envoy reads.
    content = json.dumps(named, ensure_ascii=False, separators=(",", ":"))
    version = _digest(content)
    return Part(name=name, version=version, text=f'{{"version_info":"{version}","resources":{content}}}')


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:16]
