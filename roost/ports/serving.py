"""The serving side as the deployer sees it: the nodes of a pool, and their predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from roost.contracts.acks import NodeState
from roost.contracts.traffic import Answered

#: Tensors by name. Strings are arrays of dtype object holding bytes.
Tensors = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAddress:
    """Where one node is. All addresses are ``host:port``."""

    node: str
    pool: str
    #: The node's control port: state, nudge, drain.
    control: str
    #: The gateway: TF Serving's REST and gRPC.
    rest: str
    grpc: str


class NodeDirectory(Protocol):
    """Which nodes a pool has now."""

    def nodes(self, pool: str) -> Sequence[NodeAddress]:
        """All nodes of the pool, ready or not, by name. Raises `NodeUnavailable` where it does not answer."""


class NodeControl(Protocol):
    """Talks to a node's control port. Every method raises `NodeUnavailable` past its deadline."""

    def state(self, node: NodeAddress, *, deadline: float) -> NodeState:
        """What the node says now. `deadline` in seconds."""

    def nudge(self, node: NodeAddress, generation: int, *, deadline: float) -> None:
        """Say that `generation` is there. The node reads the desired object itself; this only saves it the wait."""

    def await_settled(self, node: NodeAddress, generation: int, *, deadline: float) -> NodeState:
        """The node's state once it has settled `generation` or a newer one, or its state at `deadline` seconds.

        One long poll on the node's side: it returns within milliseconds of the settling.
        """

    def drain(self, node: NodeAddress, *, deadline: float) -> None:
        """Ask the node to answer `/readyz` with 503 and finish what it has."""

    def restart(self, node: NodeAddress, *, deadline: float) -> None:
        """Ask the node to drain, replace its model server by a fresh one, and come back. Returns once accepted."""


class Traffic(Protocol):
    """What nodes answer, and whether they copy it. Every method raises `NodeUnavailable` past its deadline."""

    def answered(self, node: NodeAddress, name: str, *, deadline: float) -> Answered:
        """What the node's model server has answered under this served name since it started."""

    def mirror(
        self, node: NodeAddress, name: str, to: NodeAddress, *, percent: float, seconds: float, deadline: float
    ) -> None:
        """Have the node copy a share of the name's requests to another node's gateway, whose answers are dropped.

        It ends by itself after `seconds`, unless asked again. Returns once accepted.
        """

    def unmirror(self, node: NodeAddress, name: str, *, deadline: float) -> None:
        """Have the node copy no more of its requests. Idempotent; returns once accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadStatus:
    """How far a pool's workload is. Counts are of pods."""

    desired: int
    #: Made from the newest template.
    updated: int
    ready: int
    #: All are made from the newest template and ready, and none of the old ones is left.
    done: bool
    #: Why it will not get on by itself, one clause; None while it may.
    stuck: str | None = None


class PoolWorkload(Protocol):
    """What keeps a pool's pods, where a cluster does. Both raise `ClusterUnavailable` and `ClusterRefused`."""

    def restart(self, pool: str, *, order: str) -> None:
        """Replace every pod, a new one ready before an old one goes. The same order again changes nothing."""

    def status(self, pool: str) -> WorkloadStatus:
        """How far it is."""


class Predictor(Protocol):
    """Predictions over gRPC from one address."""

    def predict(
        self, address: str, name: str, inputs: Tensors, *, version: int | None, signature: str, deadline: float
    ) -> Tensors:
        """Outputs by name. `version` None follows `stable`.

        Raises:
            ModelServerUnavailable: not reached, or past `deadline` seconds.
            Permanent: the server refused the request; the text is the server's own.
        """
