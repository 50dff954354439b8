"""What the tasks of the DAGs do, as plain functions: small facts in and out, since those travel by XCom.

Airflow is not imported here, and TensorFlow runs in a process of its own: the command that a training pod runs.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError

from roost import settings as roost_settings
from roost.contracts.errors import NotFound, Permanent, Retryable
from roost.contracts.ids import DEFAULT_MODEL, CustomerId, ModelId, RunId, check_run_id, staging_prefix
from roost.contracts.links import rollouts_of_run
from roost.contracts.manifest import Frozen
from roost.ports.clock import SystemClock
from roost.process import EXIT_PERMANENT, traced
from roost.settings import Settings
from roost.telemetry import tracing
from training import publishing
from training.examples import Window
from training.retirement import delete_models, still_served
from training.retraining import Wave, due, runs
from training.staging import staged
from training.wiring import open_publisher, open_store, open_trainer

log = logging.getLogger(__name__)

#: How the process's own sentences begin; the libraries' lines begin otherwise.
_OWN: Final = "training: "
_ROOT: Final = Path(__file__).resolve().parents[1]
_LONGEST_RUN_ID: Final = 180


class Order(Frozen):
    """One run of `train_customer_model`, as its Params say it."""

    customer_id: CustomerId
    run_id: RunId
    model: ModelId = DEFAULT_MODEL
    reason: str = ""
    wave_id: str | None = None
    data_window: str | None = None
    #: The trace that the run belongs to, if any; see `roost.ports.workflow.TRACE_CONF`.
    traceparent: str | None = None


class WaveParams(Frozen):
    """One run of `retrain_due_customers`, as its Params say it."""

    older_than_days: float = Field(default=7, ge=0)
    limit: int = Field(default=500, ge=1)
    spread_minutes: float = Field(default=60, ge=0)
    label: str | None = None


def training_run_id(airflow_run_id: str) -> str:
    """Airflow's run id, or, where a path cannot hold it, its readable part and a hash: the same again for the same."""
    readable = re.sub(r"[^A-Za-z0-9_.~+-]", ".", airflow_run_id).lstrip(".~+-")[:_LONGEST_RUN_ID]
    if readable == airflow_run_id:
        return check_run_id(readable)
    return check_run_id(f"{readable or 'run'}-{hashlib.sha256(airflow_run_id.encode()).hexdigest()[:8]}")


def prepare(params: Mapping[str, object], airflow_run_id: str) -> dict[str, object]:
    """Check what was asked for, and that the settings can do it, before a process is spent on it.

    Raises:
        Permanent: a Param, the data window or a setting is wrong; naming it.
    """
    try:
        order = Order.model_validate({**params, "run_id": training_run_id(airflow_run_id)})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Permanent(f"Param {where} is {first['input']!r}: {first['msg']}") from error
    if order.data_window is not None:
        Window.parsed(order.data_window)
    settings = roost_settings.load()
    open_trainer(settings)
    with _traced(settings, "training prepare", order) as place:
        # A run that nobody's event asked for begins a trace of its own, here, and the next tasks go on in it.
        order = order.model_copy(update={"traceparent": order.traceparent or place})
    log.info("run %s trains %s.%s: %s", order.run_id, order.customer_id, order.model, order.reason or "no reason given")
    # A task of before, which may still come after this one, knows no trace.
    return order.model_dump(exclude=None if order.traceparent else {"traceparent"})


def train(order: Mapping[str, object]) -> dict[str, object]:
    """Run `python -m training run` and return its line of JSON: artifact uri and digest, run id, scope, metrics.

    Raises:
        Permanent: the process says that trying again cannot help; with its own words.
        Retryable: it failed in a way that may pass.
    """
    asked = Order.model_validate(order)
    command = [sys.executable, "-m", "training", "run", "--customer", asked.customer_id, "--model", asked.model]
    command += ["--run-id", asked.run_id, *(["--window", asked.data_window] if asked.data_window else [])]
    search = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    # A file, not a pipe: a model's own code may print as much as it likes, and nobody reads it before the end.
    with (
        _traced(roost_settings.load(), "training run", asked),
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as printed,
        subprocess.Popen(
            command,
            stdout=printed,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONPATH": search},
        ) as process,
    ):
        try:
            _followed(process)
        finally:
            # A task that is stopped must not leave its child behind.
            process.kill()
        printed.seek(0)
        found: dict[str, object] = json.loads(printed.read().splitlines()[-1])
        return found


def _followed(process: subprocess.Popen[str]) -> None:
    if process.stderr is None:
        raise AssertionError("it is a pipe")
    last = ""
    for line in process.stderr:
        log.info(line.rstrip())
        last = line.rstrip() if line.startswith(_OWN) else last
    code = process.wait()
    if code == EXIT_PERMANENT:
        raise Permanent(last.removeprefix(_OWN))
    if code != 0:
        raise Retryable(f"the training process ended with code {code}: {last}")


def publish(order: Mapping[str, object], facts: Mapping[str, object]) -> dict[str, object]:
    """Say on the bus that the artifact is ready; wait until the bus has it. Repeating it gives the same event id.

    Raises:
        BrokerUnavailable, StorageUnavailable: try again.
        NotFound: the artifact has gone.
    """
    asked, run_id = Order.model_validate(order), str(facts["run_id"])
    settings = roost_settings.load()
    found = staged(open_store(settings), staging_prefix(asked.customer_id, asked.model, run_id))
    if found is None:
        raise NotFound(f"run {run_id} of {asked.customer_id} has staged nothing complete")
    publisher = open_publisher(settings)
    try:
        with _traced(settings, "training publish", asked):
            event = publishing.publish(publisher, found, at=SystemClock().now(), wave_id=asked.wave_id)
    finally:
        publisher.close()
    page = rollouts_of_run(settings.console.url, run_id)
    log.info("published %s; its rollout: %s", event.id, page)
    return {"event_id": event.id, "rollout_page": page, "digest": found.manifest.digest, "scope": facts.get("scope")}


@contextmanager
def _traced(settings: Settings, name: str, order: Order) -> Iterator[str | None]:
    """A span of one task, handed over before the task ends: its process may not outlive it."""
    facts: dict[str, tracing.Attribute] = {"roost.customer": order.customer_id, "roost.run_id": order.run_id}
    with traced("training", settings), tracing.span(name, order.traceparent, facts) as it:
        yield it.traceparent


def due_runs(params: Mapping[str, object]) -> list[dict[str, object]]:
    """One entry a run that `retrain_due_customers` shall start: run id, instant, conf."""
    settings, now = roost_settings.load(), SystemClock().now()
    asked = WaveParams.model_validate(params)
    wave = Wave(
        older_than=timedelta(days=asked.older_than_days),
        limit=asked.limit,
        spread=timedelta(minutes=asked.spread_minutes),
        label=asked.label or f"{now:%Y%m%d}",
    )
    found = due(open_store(settings), canary_pool=settings.serving.canary_pool, before=now - wave.older_than)
    log.info(
        "%d models are older than %s; this wave starts %d", len(found), wave.older_than, min(len(found), wave.limit)
    )
    return runs(found, wave, now=now, console=settings.console.url)


def is_unserved(customer: str, left_at: datetime) -> bool:
    """Whether no pool lists any more what the customer had when they left; true, too, where they came back since."""
    serving = still_served(open_store(roost_settings.load()), customer, left_at=left_at)
    if serving:
        log.info("still served: %s", ", ".join(serving))
    return not serving


def delete_artifacts(customer: str, left_at: datetime) -> int:
    """Delete what was stored of the customer up to the instant at which they left; returns the number of objects."""
    count = delete_models(open_store(roost_settings.load()), customer, left_at=left_at)
    log.info("deleted %d objects of %s, who left at %s", count, customer, left_at.isoformat())
    return count
