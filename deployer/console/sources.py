"""What the console reads and where commands go: ports only, wired in `main`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from deployer.console.desired_objects import DesiredObjects
from roost.ports.clock import Clock
from roost.ports.ledger import CommandLedger, OnboardingLedger, Outbox, RolloutLedger, Wakeups
from roost.ports.serving import NodeControl, NodeDirectory
from roost.ports.workflow import Workflow

#: The DAG that trains one customer's model; its runs are looked up here, never started.
TRAINING_DAG = "train_customer_model"


class ConsoleLedger(OnboardingLedger, RolloutLedger, CommandLedger, Outbox, Protocol):
    """The parts of the ledger that the console uses. Of the writing methods it calls `submit` alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Everything the console looks at."""

    ledger: ConsoleLedger
    desired: DesiredObjects
    directory: NodeDirectory
    control: NodeControl
    workflow: Workflow
    clock: Clock
    #: Serving pools to show, the canary pool last.
    pools: tuple[str, ...]
    #: Opens a wait for the ledger's wake-ups.
    wakeups: Callable[[], Wakeups]
    #: Address of one trace in the tracing tool, with ``{trace_id}``.
    trace_page: str | None = None
