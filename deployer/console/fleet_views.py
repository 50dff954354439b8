"""The API's shapes of pools and nodes. Pure."""

from __future__ import annotations

from pydantic import AwareDatetime

from deployer.console.views import View
from roost.contracts.acks import NodeModel


class NodeView(View):
    """One node of a pool."""

    node: str
    #: The control port's ``host:port``.
    control: str
    rest: str
    grpc: str
    reachable: bool
    generation: int | None = None
    #: Whether its generation is older than the desired one, or it could not load all of it.
    behind: bool = False
    ready: bool = False
    converged: bool = False
    draining: bool = False
    memory_bytes: int | None = None
    leaked_bytes: int | None = None
    restarts: int | None = None
    models: tuple[NodeModel, ...] = ()
    error: str | None = None


class PoolModelView(View):
    """One served name that a pool shall serve."""

    name: str
    stable: int | None
    versions: tuple[int, ...]


class PoolView(View):
    """One pool: what it shall serve and what each node says."""

    pool: str
    #: Desired generation; None where the desired state could not be read.
    generation: int | None
    reason: str = ""
    models: tuple[PoolModelView, ...] = ()
    nodes: tuple[NodeView, ...] = ()
    nodes_behind: int = 0
    #: What could not be read, with the reason.
    errors: tuple[str, ...] = ()


class FleetView(View):
    """All pools at one moment."""

    at: AwareDatetime
    pools: tuple[PoolView, ...]
