"""The events on the bus: their payloads, their types and topics. JSON Schemas and AsyncAPI are generated from here.

Payloads accept fields that they do not know, so that a newer producer does not stop an older consumer; they never
drop or retype a field within one version of a type.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from roost.contracts.ids import DEFAULT_MODEL, CustomerId, Digest, ModelId, PoolId, RunId
from roost.contracts.rollout import Phase


class Topic(StrEnum):
    """The topics."""

    CUSTOMERS = "customers"
    MODELS_READY = "models.ready"
    DEPLOY_COMMANDS = "deploy.commands"
    DEPLOY_EVENTS = "deploy.events"
    DEAD_LETTERS = "dead.letters"


class Payload(BaseModel):
    """Root of the payloads: immutable, tolerant of unknown fields."""

    model_config = ConfigDict(frozen=True, extra="ignore")


Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
Actor = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class CustomerSignedUp(Payload):
    """A customer came: train and serve a model for them."""

    customer: CustomerId
    model: ModelId = DEFAULT_MODEL
    name: str = Field(default="", max_length=200)


class CustomerOffboarded(Payload):
    """A customer left: stop serving, delete by policy."""

    customer: CustomerId
    reason: str = Field(default="", max_length=2000)


class ModelReady(Payload):
    """Training staged an artifact and proved it complete."""

    customer: CustomerId
    model: ModelId = DEFAULT_MODEL
    artifact_uri: Annotated[
        str, StringConstraints(pattern=r"^gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]/.+/$", max_length=1024)
    ]
    artifact_digest: Digest
    run_id: RunId
    trained_at: AwareDatetime
    data_window: tuple[str, str]
    metrics: dict[str, float] = Field(default_factory=dict)
    code_version: str
    scope: str = "own"
    cohort: tuple[str, ...] = ()
    wave_id: str | None = None


class Command(StrEnum):
    """What a person may ask of the deployer."""

    APPROVE = "approve"
    REJECT = "reject"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    PAUSE = "pause"
    RESUME = "resume"
    FREEZE = "freeze"
    THAW = "thaw"
    RELEASE = "release"
    RETRY = "retry"


#: Where these name nobody, they are about the whole fleet.
FLEET_WIDE: Final = frozenset({Command.FREEZE, Command.THAW, Command.PAUSE, Command.RESUME})


class DeployCommand(Payload):
    """A person's decision. Names a rollout, or a customer (and model), or a digest for ``release``."""

    command: Command
    actor: Actor
    reason: Reason
    rollout_id: str | None = None
    customer: CustomerId | None = None
    model: ModelId = DEFAULT_MODEL
    digest: Digest | None = None

    @model_validator(mode="after")
    def _names_a_target(self) -> DeployCommand:
        if self.command not in FLEET_WIDE and not (self.rollout_id or self.customer or self.digest):
            raise ValueError(f"{self.command} needs a rollout_id, a customer or a digest")
        if self.command is Command.RELEASE and not self.digest:
            raise ValueError("release needs the digest that is quarantined")
        return self


class RolloutChanged(Payload):
    """One transition of a rollout: what, why, who, and where the evidence is."""

    rollout_id: str
    customer: CustomerId
    model: ModelId
    pool: PoolId
    version: int
    digest: Digest
    run_id: RunId
    sequence: int
    before: Phase | None
    after: Phase
    actor: str
    reason: str
    evidence: str | None = None
    facts: dict[str, object] = Field(default_factory=dict)
    #: What a ledger that is made again needs beside the rest. Absent in events of before.
    previous_version: int | None = None
    trained_at: AwareDatetime | None = None
    approved_by: str | None = None


class OperationReported(Payload):
    """Something that concerns a pool or a customer and no single rollout: a restart, a freeze, a retirement."""

    #: Such as ``restart.finished``, ``restart.refused``, ``customer.onboarding``, ``customer.retired``, ``freeze``.
    what: str
    pool: PoolId | None = None
    customer: CustomerId | None = None
    actor: str
    reason: str
    facts: dict[str, object] = Field(default_factory=dict)


CUSTOMER_SIGNED_UP: Final = "roost.customer.signed_up.v1"
CUSTOMER_OFFBOARDED: Final = "roost.customer.offboarded.v1"
MODEL_READY: Final = "roost.model.ready.v1"
DEPLOY_COMMAND: Final = "roost.deploy.command.v1"
OPERATION_REPORTED: Final = "roost.operation.reported.v1"


def rollout_type(phase: Phase) -> str:
    """Event type of a rollout that entered `phase`, such as ``roost.rollout.live.v1``."""
    return f"roost.rollout.{phase.value.lower()}.v1"


#: Every event type, its payload and its topic. A type that is not here is poison.
CATALOGUE: Final[dict[str, tuple[type[Payload], Topic]]] = {
    CUSTOMER_SIGNED_UP: (CustomerSignedUp, Topic.CUSTOMERS),
    CUSTOMER_OFFBOARDED: (CustomerOffboarded, Topic.CUSTOMERS),
    MODEL_READY: (ModelReady, Topic.MODELS_READY),
    DEPLOY_COMMAND: (DeployCommand, Topic.DEPLOY_COMMANDS),
    OPERATION_REPORTED: (OperationReported, Topic.DEPLOY_EVENTS),
    **{rollout_type(phase): (RolloutChanged, Topic.DEPLOY_EVENTS) for phase in Phase},
}
