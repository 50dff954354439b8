"""What each metric is, for people, rules and dashboards, read off `roost.telemetry.metrics`.

A metric without a process, or a label without a bound, is a `LookupError`: the catalogue is complete or it is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.metrics import MetricWrapperBase

from roost.telemetry import metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a label's values are, and how many there can be."""

    values: str
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric as a scrape shows it."""

    name: str
    #: ``counter``, ``gauge`` or ``histogram``.
    kind: str
    labels: tuple[str, ...]
    meaning: str
    #: Which process shows it.
    process: str
    buckets: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """Names that a query may use."""
        if self.kind != "histogram":
            return (self.name,)
        return tuple(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))

    @property
    def most(self) -> int:
        """Series at most, of one process: the product of its labels' bounds, times what a histogram takes."""
        number = len(self.buckets) + 2 if self.buckets else 1
        for label in self.labels:
            number *= LABELS[label].most
        return number


#: Every label there is. None of them grows with customers or models.
LABELS: Final[Mapping[str, Bound]] = {
    "topic": Bound(values="Roost's topics", most=5),
    "partition": Bound(values="the topic's partitions", most=64),
    "kind": Bound(values="as the metric's text lists them", most=5),
    "result": Bound(values="as the metric's text lists them", most=5),
    "phase": Bound(values="phases of a rollout", most=14),
    "check": Bound(values="canary checks of the registry", most=20),
    "outcome": Bound(values="PASS, FAIL, INCONCLUSIVE", most=3),
    "pool": Bound(values="serving pools, the canary pool included; a process has two", most=10),
    "state": Bound(values="pending, downloading, loading, proven, failed", most=5),
    "child": Bound(values="model_server, gateway", most=2),
    "cause": Bound(values="why a child was replaced: crashed, boot_failed, wedged and the like", most=10),
    "command": Bound(values="commands of people", most=12),
    "status": Bound(values="HTTP statuses of refusals", most=10),
    "door": Bound(values="rest, grpc", most=2),
    "when": Bound(values="quiet, loading", most=2),
    "why": Bound(values="as the metric's text lists them", most=10),
}

#: What a name begins with, and the process that shows it.
_PROCESSES: Final[Mapping[str, str]] = {
    "roost_consumer_": "signup consumer, model consumer",
    "roost_onboarding_runs_": "signup consumer",
    "roost_onboarding_": "deployer",
    "roost_rollout_": "deployer",
    "roost_check_": "deployer",
    "roost_pool_": "deployer",
    "roost_outbox_": "deployer",
    "roost_retention_": "deployer",
    "roost_node_": "serving node",
    "roost_gateway_": "serving node",
    "roost_app_": "serving node",
    "roost_tap_": "serving node",
    "roost_console_": "console",
    "roost_trace_": "every process, where traces are on",
}

#: What rules and dashboards use and others publish: name to publisher.
FOREIGN: Final[Mapping[str, str]] = {
    "up": "Prometheus: 1 where a target could be scraped",
}


def catalogue() -> tuple[Metric, ...]:
    """Every metric of `roost.telemetry.metrics`, by name. Raises `LookupError` as the module says."""
    found = (value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase))
    return tuple(sorted((_described(one) for one in found), key=lambda metric: metric.name))


def series() -> frozenset[str]:
    """Every name that a query may use."""
    return frozenset(name for metric in catalogue() for name in metric.series) | FOREIGN.keys()


def _described(wrapper: MetricWrapperBase) -> Metric:
    # The public way: what a scrape is told, before anything was counted.
    family = next(iter(wrapper.describe()))
    labels = tuple(wrapper._labelnames)  # noqa: SLF001 (the client has no public name for it)
    unknown = [label for label in labels if label not in LABELS]
    if unknown:
        raise LookupError(f"{family.name}: no bound for label {unknown[0]}; name one in roost/telemetry/catalogue.py")
    counter = family.type == "counter"
    name = f"{family.name}_total" if counter else family.name
    return Metric(
        name=name,
        kind=family.type,
        labels=labels,
        meaning=family.documentation,
        process=_process(name),
        buckets=tuple(getattr(wrapper, "_upper_bounds", ()))[:-1],
    )


def _process(name: str) -> str:
    process = next((process for prefix, process in _PROCESSES.items() if name.startswith(prefix)), None)
    if process is None:
        raise LookupError(f"{name}: which process shows it? Name it in roost/telemetry/catalogue.py")
    return process
