"""The commands of a training process. Progress goes to standard error; standard output has one line of JSON."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from roost import settings as roost_settings
from roost.contracts.errors import NotFound, Retryable, RoostError
from roost.contracts.ids import DEFAULT_MODEL, staging_prefix
from roost.process import EXIT_PERMANENT, EXIT_RETRY
from roost.telemetry import logs
from training import publishing
from training.examples import Window
from training.run import RunRequest, train_and_stage
from training.staging import Staged, staged
from training.wiring import open_publisher, open_store, workshop

app = typer.Typer(
    name="training", no_args_is_help=True, pretty_exceptions_enable=False, help="Train, stage and publish one model."
)
Customer = Annotated[str, typer.Option(help="customer id, such as ua")]
RunId = Annotated[str, typer.Option(help="name of the run; the artifact is staged under it")]
Model = Annotated[str, typer.Option(help="model id")]


@app.command()
def run(
    customer: Customer,
    run_id: RunId,
    model: Model = DEFAULT_MODEL,
    window: Annotated[
        str | None, typer.Option(help="two dates in UTC, as 2013-01-01:2013-07-01; all if left out")
    ] = None,
) -> None:
    """Load, check, train, evaluate, export and stage. Repeating a finished run changes nothing."""
    request = RunRequest(
        customer=customer, model=model, run_id=run_id, window=Window.parsed(window) if window else None
    )
    _print(train_and_stage(request, workshop(roost_settings.load()), _progress))


@app.command()
def publish(
    customer: Customer,
    run_id: RunId,
    model: Model = DEFAULT_MODEL,
    wave_id: Annotated[str | None, typer.Option(help="name of the retraining wave, if any")] = None,
) -> None:
    """Say on the bus that the run's artifact is ready, and wait until the bus has it."""
    settings = roost_settings.load()
    found = staged(open_store(settings), staging_prefix(customer, model, run_id))
    if found is None:
        raise NotFound(f"run {run_id} of {customer} has staged nothing complete: run `python -m training run` first")
    publisher = open_publisher(settings)
    try:
        event = publishing.publish(publisher, found, at=datetime.now(UTC), wave_id=wave_id)
    finally:
        publisher.close()
    _progress(f"published {event.id}")
    _print(found)


def main() -> None:
    """Run a command. Exit code 78 where trying again cannot help, 75 where it may; the reason is one line."""
    logs.configure("training", level=roost_settings.load().log_level, form="text")
    for noisy in ("absl", "tensorflow"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    try:
        app()
    except RoostError as error:
        print(f"training: {error}", file=sys.stderr)
        raise SystemExit(EXIT_RETRY if isinstance(error, Retryable) else EXIT_PERMANENT) from error


def _progress(sentence: str) -> None:
    print(f"training: {sentence}", file=sys.stderr, flush=True)


def _print(result: Staged) -> None:
    run_facts = result.manifest.run
    facts = {
        "artifact_uri": result.uri,
        "artifact_digest": result.manifest.digest,
        "run_id": run_facts.run_id,
        "scope": run_facts.scope,
        "cohort": run_facts.cohort,
        "metrics": run_facts.metrics,
    }
    print(json.dumps(facts), flush=True)
