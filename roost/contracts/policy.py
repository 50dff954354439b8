"""The policy: which checks, which bounds, who must approve, how long to bake. One YAML file per deployment.

Overrides go from the general to the particular: defaults, then cohort, then customer. Fields that nobody knows are
refused, so that a typing error never passes for a default.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from roost.contracts.desired import LoadingOrder
from roost.contracts.ids import CustomerId, PoolId
from roost.contracts.manifest import Frozen


class Approval(StrEnum):
    """When a person must approve."""

    NEVER = "never"
    FIRST_MODEL = "first-model"
    INCONCLUSIVE = "inconclusive"
    ALWAYS = "always"


class RestartWhen(StrEnum):
    """What a scheduled rolling restart does."""

    ALWAYS = "always"
    #: Only nodes behind the desired generation, or leaking.
    STALE_OR_LEAKING = "stale-or-leaking"


class LoadBounds(Frozen):
    """The load check."""

    seconds: float = Field(default=60, gt=0)
    memory_mb: float = Field(default=512, gt=0)


class GoldenBounds(Frozen):
    """The golden check: the largest absolute difference to the recorded answers."""

    tolerance: float = Field(default=1e-4, ge=0)
    minimum_cases: int = Field(default=1, ge=1)


class SanityBounds(Frozen):
    """The sanity check: enough varied inputs to call an output constant."""

    minimum_rows: int = Field(default=16, ge=2)


class CopyBounds(Frozen):
    """The copies check: which share of live requests is copied to the candidate, how long, and what may come of it."""

    percent: float = Field(default=10, gt=0, le=100)
    #: At most so long; it ends when `minimum_requests` have been copied.
    seconds: float = Field(default=30, gt=0, le=240)
    minimum_requests: int = Field(default=400, ge=1)
    #: More of the copies than of the live requests may fail by so many percent.
    error_percent: float = Field(default=1, ge=0, lt=100)
    #: 95 of 100 copies are answered within so many times what 95 of 100 live requests take, or within the floor.
    slower: float = Field(default=2, ge=1)
    floor_seconds: float = Field(default=0.02, gt=0)


class CheckPolicy(Frozen):
    """Which checks run, in the registry's order, and their bounds. ``copies`` runs only where it is named."""

    enabled: tuple[str, ...] = ("load", "signature", "golden", "sanity")
    load: LoadBounds = LoadBounds()
    golden: GoldenBounds = GoldenBounds()
    sanity: SanityBounds = SanityBounds()
    copies: CopyBounds = CopyBounds()


class PhaseDeadlines(Frozen):
    """Seconds that a rollout may stay in a phase."""

    stored: float = Field(default=300, gt=0)
    vetted: float = Field(default=120, gt=0)
    canary: float = Field(default=300, gt=0)
    approval: float = Field(default=86_400, gt=0)
    promoting: float = Field(default=300, gt=0)
    rolling_back: float = Field(default=300, gt=0)


class TrainingPolicy(Frozen):
    """When own data are too few for an own model."""

    minimum_rows: int = Field(default=500, ge=1)
    #: ``cohort`` pools customers alike; ``refuse`` fails the run with a clear message.
    too_few: str = Field(default="cohort", pattern="^(cohort|refuse)$")


class RestartPolicy(Frozen):
    """The scheduled rolling restart."""

    when: RestartWhen = RestartWhen.STALE_OR_LEAKING
    #: Memory that unloading did not give back, above which a node is restarted.
    leaked_mb: float = Field(default=1024, gt=0)


class PredictionPolicy(Frozen):
    """What the page `/v1/customers/…:predict` takes (`docs/predictions.md`)."""

    max_rows: int = Field(default=1000, ge=1, le=100_000)
    #: Whose model answers while a customer has none of their own: an id that no real customer has. None: nobody's.
    cohort_default: CustomerId | None = None


class Redaction(StrEnum):
    """What becomes of a field before a recorded request leaves the node."""

    DROP = "drop"
    #: Texts only: a keyed hash that tells equal values from different ones. Numbers are dropped.
    HASH = "hash"
    KEEP = "keep"


class TapPolicy(Frozen):
    """Which requests are recorded for the canary, and what of them."""

    #: Share of the requests that is recorded. 0 is off.
    rate: float = Field(default=0, ge=0, le=1)
    #: Per served name and node.
    per_hour: int = Field(default=100, ge=1, le=100_000)
    #: Larger requests are not recorded.
    max_kb: float = Field(default=64, gt=0, le=8192)
    retention_hours: float = Field(default=168, gt=0)
    #: By field. Where nothing is said, numbers are kept, and of texts only those that the manifest lists as categories.
    fields: dict[str, Redaction] = Field(default_factory=dict)


class Rules(Frozen):
    """What holds for one customer, all overrides applied."""

    checks: CheckPolicy = CheckPolicy()
    approval: Approval = Approval.INCONCLUSIVE
    bake_seconds: float = Field(default=600, ge=0)
    #: Of the requests that name no version, so many stay with the previous version while the new one bakes.
    previous_percent: float = Field(default=0, ge=0, lt=100)
    deadlines: PhaseDeadlines = PhaseDeadlines()
    max_artifact_mb: float = Field(default=1024, gt=0)
    training: TrainingPolicy = TrainingPolicy()
    predictions: PredictionPolicy = PredictionPolicy()
    taps: TapPolicy = TapPolicy()


class Cohort(Frozen):
    """Customers alike, and what differs for them: a partial `Rules` document."""

    customers: tuple[CustomerId, ...] = Field(min_length=1)
    rules: dict[str, object] = Field(default_factory=dict)


class PoolRules(Frozen):
    """What holds for one serving pool."""

    #: ``unload-first`` where its memory does not hold two versions of a model: that model is away while it changes.
    loading: LoadingOrder = LoadingOrder.LOAD_FIRST


class Policy(Frozen):
    """The whole file."""

    version: int = Field(default=1, ge=1, le=1)
    rules: Rules = Rules()
    cohorts: dict[str, Cohort] = Field(default_factory=dict)
    #: Customer id to a partial `Rules` document.
    customers: dict[CustomerId, dict[str, object]] = Field(default_factory=dict)
    restart: RestartPolicy = RestartPolicy()
    pools: dict[PoolId, PoolRules] = Field(default_factory=dict)

    def loading(self, pool: str) -> LoadingOrder:
        """What the nodes of that pool do first where a version takes another's place."""
        return self.pools.get(pool, PoolRules()).loading

    def rules_for(self, customer: str) -> Rules:
        """Rules of one customer: defaults, overlaid by each cohort that lists them, then by their own entry."""
        document: dict[str, object] = self.rules.model_dump()
        for cohort in self.cohorts.values():
            if customer in cohort.customers:
                document = _overlay(document, cohort.rules)
        document = _overlay(document, self.customers.get(customer, {}))
        return Rules.model_validate(document)

    def named_customers(self) -> frozenset[str]:
        """Everybody for whom something else than `rules` may hold."""
        in_cohorts = (customer for cohort in self.cohorts.values() for customer in cohort.customers)
        return frozenset(self.customers) | frozenset(in_cohorts)


def _overlay(below: dict[str, object], above: dict[str, object]) -> dict[str, object]:
    merged = dict(below)
    for key, value in above.items():
        lower = merged.get(key)
        merged[key] = _overlay(lower, value) if isinstance(lower, dict) and isinstance(value, dict) else value
    return merged
