"""`roost restart`: one rolling restart, or one every so often."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from deployer.restart.rolling import Fleet, Order, RestartRefused, RollingRestart
from roost import policy_file
from roost.contracts.errors import Retryable
from roost.contracts.ids import check_id
from roost.ports.clock import SystemClock
from roost.ports.serving import PoolWorkload
from roost.settings import ServingSettings, Settings
from roost.telemetry.health import HealthServer

log = logging.getLogger(__name__)

#: On top of the reload's own deadline: stopping the old model server, starting the new one, the gateway.
_STARTING_SECONDS = 120.0
#: For one pod of a cluster: to be scheduled, to sync every model, to load them. Longer than the Deployment's own
#: progress deadline, so that it is the cluster that says what is stuck.
POD_SECONDS = 1200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartOptions:
    """What the command line asks for. `every_seconds` 0 does one restart and ends."""

    pool: str
    reason: str
    always: bool = False
    every_seconds: float = 0.0


def run(settings: Settings, options: RestartOptions, stop: threading.Event) -> None:
    """Restart now, or every so often until `stop`.

    Raises:
        RestartRefused: of a single restart. A repeated one reports it and tries again the next time.
        Retryable: of a single restart, where a dependency does not answer.
    """
    check_id(options.pool, "pool id")
    policy = policy_file.read(settings.deployer.policy_file).restart
    with ExitStack() as stack:
        rolling, node_seconds = _wired(settings, options.pool, stack)

        def once() -> None:
            order = Order(reason=options.reason, always=options.always, policy=policy, node_seconds=node_seconds)
            rolling.run(order, stop)

        if options.every_seconds <= 0:
            once()
            return
        trouble: dict[str, str | None] = {"restart": None}
        health = HealthServer(settings.health_host, settings.health_port, lambda: trouble)
        stack.callback(health.close)
        while not stop.wait(options.every_seconds):
            trouble["restart"] = _tolerant(once)


def _wired(settings: Settings, pool: str, stack: ExitStack) -> tuple[RollingRestart, float]:
    """The restart of that pool over the real parts, and how many seconds one of its nodes, or pods, may take."""
    from roost.adapters.gcs import open_store
    from roost.adapters.node_control import HttpNodeControl
    from roost.adapters.node_directory import open_directory
    from roost.adapters.postgres import open_ledger

    clock = SystemClock()
    ledger = open_ledger(settings.database, clock)
    control = HttpNodeControl(settings.serving.control_token)
    for part in (ledger, control):
        stack.callback(part.close)
    fleet = Fleet(
        pool=pool,
        directory=open_directory(settings.serving),
        control=control,
        store=open_store(settings.storage),
        spare=pool == settings.serving.canary_pool,
        workload=_workload(settings.serving),
    )
    node_seconds = settings.serving.reload_deadline_seconds + _STARTING_SECONDS
    return RollingRestart(fleet, ledger, clock), node_seconds if fleet.workload is None else POD_SECONDS


def _workload(serving: ServingSettings) -> PoolWorkload | None:
    """What keeps the pods, where no file lists the nodes: the cluster."""
    if serving.directory_file is not None:
        return None
    from roost.adapters.kubernetes import KubernetesWorkload, open_cluster

    return KubernetesWorkload(open_cluster(serving))


def _tolerant(once: Callable[[], None]) -> str | None:
    """Run it; what it was refused for, or None."""
    try:
        once()
    except (RestartRefused, Retryable) as error:
        log.warning("no restart this time: %s", error, extra={"action": "restart_refused"})
        return str(error)
    return None
