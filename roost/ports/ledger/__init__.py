"""The ledger: what Roost knows, in PostgreSQL. Each method is one transaction.

Every method raises `DatabaseUnavailable` where the database does not answer. Split by who uses it, so that a process
is given only what it needs; one adapter implements all of them.
"""

from roost.ports.ledger.protocols import (
    CommandLedger,
    Generations,
    Housekeeping,
    Leases,
    Ledger,
    OnboardingLedger,
    Outbox,
    RolloutLedger,
    Wakeups,
)
from roost.ports.ledger.rows import (
    Change,
    CommandRow,
    Freeze,
    Onboarding,
    OnboardingStage,
    OutboxRow,
    Quarantine,
    RolloutQuery,
    Settled,
    due_order,
)

__all__ = (
    "Change",
    "CommandLedger",
    "CommandRow",
    "Freeze",
    "Generations",
    "Housekeeping",
    "Leases",
    "Ledger",
    "Onboarding",
    "OnboardingLedger",
    "OnboardingStage",
    "Outbox",
    "OutboxRow",
    "Quarantine",
    "RolloutLedger",
    "RolloutQuery",
    "Settled",
    "Wakeups",
    "due_order",
)
