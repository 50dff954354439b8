"""Wires the consumers: the one place where they meet their adapters."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial

from consumers import models, onboarding, signups
from consumers.loop import Handler, Loop, Parts
from consumers.training_failures import Watch
from roost.adapters import kafka, postgres
from roost.adapters.airflow import open_workflow
from roost.contracts.event_rights import Group
from roost.contracts.events import Topic
from roost.ports.clock import SystemClock
from roost.ports.event_bus import EventPublisher
from roost.settings import Settings
from roost.telemetry.health import HealthServer, Readiness

log = logging.getLogger(__name__)

#: A part of a process: works until the event is set.
Body = Callable[[threading.Event], None]


def run_signups(settings: Settings, stop: threading.Event) -> None:
    """`customers` to onboarding rows, and those to Airflow runs, until `stop` is set."""
    clock = SystemClock()
    ledger, publisher = postgres.open_ledger(settings.database, clock), kafka.open_publisher(settings.kafka)
    workflow = open_workflow(settings.airflow)
    worker = onboarding.Worker(
        ledger=ledger,
        workflow=workflow,
        clock=clock,
        max_in_flight=settings.airflow.max_in_flight,
        console_url=settings.console.url,
    )
    watch = Watch(ledger=ledger, workflow=workflow, clock=clock)
    loop = _loop(settings, Topic.CUSTOMERS, Group.SIGNUPS, publisher, signups.handler(ledger, clock))
    trouble: dict[str, str | None] = {"onboarding": "has not started yet"}
    work = partial(worker.run, partial(postgres.open_wakeups, settings.database), trouble=trouble)
    try:
        _together(
            settings,
            {"customers": loop.run, "onboarding": work, "failed runs": watch.run},
            lambda: {"customers": loop.trouble, **trouble},
            stop,
        )
    finally:
        for part in (workflow, publisher, ledger):
            part.close()


def run_models(settings: Settings, stop: threading.Event) -> None:
    """`models.ready` to rollouts and `deploy.commands` to commands, until `stop` is set.

    Each topic has a loop and a group of its own: poison on one never holds up a rollback on the other.
    """
    clock = SystemClock()
    ledger, publisher = postgres.open_ledger(settings.database, clock), kafka.open_publisher(settings.kafka)
    place = models.Place(bucket=settings.storage.bucket, pool=settings.serving.pool)
    ready = models.ready_handler(ledger, ledger, place, clock)
    loops = {
        "models.ready": _loop(settings, Topic.MODELS_READY, Group.MODELS, publisher, ready),
        "deploy.commands": _loop(
            settings, Topic.DEPLOY_COMMANDS, Group.COMMANDS, publisher, models.command_handler(ledger, clock)
        ),
    }
    try:
        _together(
            settings,
            {name: loop.run for name, loop in loops.items()},
            lambda: {name: loop.trouble for name, loop in loops.items()},
            stop,
        )
    finally:
        for part in (publisher, ledger):
            part.close()


def _loop(settings: Settings, topic: Topic, group: Group, publisher: EventPublisher, handler: Handler) -> Loop:
    source = kafka.open_source(settings.kafka, [topic], group.value)
    return Loop(Parts(topic=topic, source=source, publisher=publisher, handler=handler, clock=SystemClock()))


def _together(settings: Settings, bodies: Mapping[str, Body], readiness: Readiness, stop: threading.Event) -> None:
    """Run each body on a thread of its own. If one fails, the others drain, and its error is raised."""
    health = HealthServer(settings.health_host, settings.health_port, readiness)
    log.info("health at http://%s", health.address, extra={"action": "listen", "address": health.address})
    failures: list[BaseException] = []

    def guarded(body: Body) -> None:
        try:
            body(stop)
        except BaseException as error:  # noqa: BLE001  # raised again by the main thread, whatever it is
            failures.append(error)
        finally:
            stop.set()

    threads = [threading.Thread(target=guarded, args=(body,), name=name) for name, body in bodies.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    health.close()
    if failures:
        raise failures[0]
