"""Nodes listed in a JSON file: ``{"nodes": [{"node": …, "pool": …, "control": …, "rest": …, "grpc": …}]}``."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from roost.adapters.watched_file import WatchedFile
from roost.contracts.ids import PoolId
from roost.contracts.manifest import Frozen
from roost.ports.clock import SystemClock
from roost.ports.serving import NodeAddress, NodeDirectory
from roost.settings import ServingSettings


class ListedNode(Frozen):
    """One line of the file. All addresses are ``host:port``."""

    node: str = Field(min_length=1)
    pool: PoolId
    control: str
    rest: str
    grpc: str


class NodeList(Frozen):
    """The whole file."""

    nodes: tuple[ListedNode, ...] = ()


class DirectoryFile:
    """A `NodeDirectory` that reads the file again whenever it has changed. Safe for many threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file = WatchedFile(path, NodeList, "the node directory")

    def nodes(self, pool: str) -> Sequence[NodeAddress]:
        """Nodes of the pool, by name.

        Raises:
            NodeUnavailable: the file is missing or breaks its form; the text names it.
        """
        with self._lock:
            listed = self._file.document().nodes
        addresses = [NodeAddress(**entry.model_dump()) for entry in listed if entry.pool == pool]
        return tuple(sorted(addresses, key=lambda address: address.node))


def open_directory(settings: ServingSettings) -> NodeDirectory:
    """The directory that the settings name: a file, or the pods of the cluster that this process is in.

    Raises:
        SettingsInvalid: no file is named, and there is no cluster.
    """
    if settings.directory_file is not None:
        return DirectoryFile(settings.directory_file)
    # Its client takes more than a second to import: only who is in a cluster pays for it.
    from roost.adapters.kubernetes import KubernetesDirectory, open_cluster

    return KubernetesDirectory(open_cluster(settings), SystemClock())
