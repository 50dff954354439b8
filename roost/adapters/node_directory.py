"""Nodes listed in a JSON file: ``{"nodes": [{"node": …, "pool": …, "control": …, "rest": …, "grpc": …}]}``."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from roost.contracts.errors import NodeUnavailable
from roost.contracts.ids import PoolId
from roost.contracts.manifest import Frozen
from roost.ports.clock import SystemClock
from roost.ports.serving import NodeAddress, NodeDirectory
from roost.settings import ServingSettings

#: Tells one content of the file from the next: inode, size, nanoseconds of the last change.
_Stamp = tuple[int, int, int]


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
        self._path = path
        self._lock = threading.Lock()
        self._stamp: _Stamp | None = None
        self._known: tuple[NodeAddress, ...] = ()

    def nodes(self, pool: str) -> Sequence[NodeAddress]:
        """Nodes of the pool, by name.

        Raises:
            NodeUnavailable: the file is missing or breaks its form; the text names it.
        """
        with self._lock:
            self._refresh()
            return tuple(address for address in self._known if address.pool == pool)

    def _refresh(self) -> None:
        try:
            facts = self._path.stat()
            stamp = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
            if stamp == self._stamp:
                return
            listed = NodeList.model_validate_json(self._path.read_bytes())
        except OSError as error:
            raise NodeUnavailable(f"the node directory {self._path} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "file"
            raise NodeUnavailable(f"the node directory {self._path} is not valid at {where}: {first['msg']}") from error
        self._stamp = stamp
        addresses = [NodeAddress(**entry.model_dump()) for entry in listed.nodes]
        self._known = tuple(sorted(addresses, key=lambda address: address.node))


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
