"""What a serving node says of itself: the answer of its control port, and the ack of a generation."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, Field

from roost.contracts.ids import PoolId
from roost.contracts.manifest import Frozen


class VersionState(StrEnum):
    """State of one version on one node."""

    #: Listed in the desired state, not yet looked at.
    PENDING = "pending"
    #: Being copied to the disk cache and verified.
    DOWNLOADING = "downloading"
    #: On disk; the model server is loading it.
    LOADING = "loading"
    #: AVAILABLE in the model server, and it has answered a prediction.
    PROVEN = "proven"
    #: Will not come: `error` says why.
    FAILED = "failed"


class NodeVersion(Frozen):
    """One version of one served name on one node."""

    version: int
    state: VersionState
    #: From the start of its download to its first prediction.
    seconds: float | None = None
    #: Growth of the model server's resident set while it loaded. Noisy where several load at once.
    memory_bytes: int | None = None
    error: str | None = None


class NodeModel(Frozen):
    """One served name on one node."""

    name: str
    versions: tuple[NodeVersion, ...]
    #: Labels that the model server has accepted.
    labels: dict[str, int] = Field(default_factory=dict)
    #: When `stable` last moved on this node.
    flipped_at: AwareDatetime | None = None

    def state_of(self, version: int) -> NodeVersion | None:
        """What the node says of that version."""
        return next((entry for entry in self.versions if entry.version == version), None)


class NodeState(Frozen):
    """A node's whole answer. `generation` is the newest that it has taken up, `settled` that it has done all it can."""

    node: str
    pool: PoolId
    generation: int
    #: Every version of `generation` is PROVEN or FAILED, and every label that can be set is set.
    settled: bool
    #: Settled, nothing failed: the node serves exactly this generation.
    converged: bool
    ready: bool
    draining: bool = False
    models: tuple[NodeModel, ...] = ()
    #: Where predictions are answered, through the gateway.
    rest_address: str
    grpc_address: str
    model_server_pid: int | None = None
    #: Resident set of the model server.
    memory_bytes: int | None = None
    #: The memory debt: what unloading did not give back and later loads have not used again (`serving.node.memory`).
    leaked_bytes: int | None = None
    #: The other two parts of the resident set: the loaded versions, and the model server without any.
    models_bytes: int | None = None
    base_bytes: int | None = None
    restarts: int = 0
    error: str | None = None

    def model(self, name: str) -> NodeModel | None:
        """What the node says of a served name."""
        return next((model for model in self.models if model.name == name), None)

    def serves(self, name: str, version: int) -> bool:
        """Whether `stable` of that served name is at exactly that version, proved by a prediction."""
        model = self.model(name)
        if model is None or model.labels.get("stable") != version:
            return False
        entry = model.state_of(version)
        return entry is not None and entry.state is VersionState.PROVEN


class NodeChange(Frozen):
    """One line of a node's `/changes`: what changed there, when, and in which generation."""

    at: AwareDatetime
    #: The generation that the node followed then.
    generation: int
    #: The served name; None where the whole node changed.
    name: str | None = None
    #: Such as ``proven``, ``failed``, ``stable moved``, ``unloaded``, ``model server replaced``.
    what: str
    version: int | None = None
    #: The rollout that brought the version.
    rollout_id: str | None = None
    #: Of ``proven``: from the start of the download to the first prediction, and the model server's growth meanwhile.
    seconds: float | None = None
    memory_bytes: int | None = None
    #: Of ``unloaded``: the model server's resident set before and after, of all that left it together; and this
    #: version's part in what did not come back.
    memory_before_bytes: int | None = None
    memory_after_bytes: int | None = None
    leaked_bytes: int | None = None
    #: Why, in a sentence.
    detail: str | None = None
