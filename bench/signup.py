"""B10: from a signup event to the first right answer of every node, with Airflow and training, step by step."""

from __future__ import annotations

import time
import uuid
from itertools import pairwise
from typing import Final

import numpy as np

from bench.airflow_times import NoTimes, run_times
from bench.asking import Question
from bench.driver import Driver, driver
from bench.figures import Grid, percentile
from bench.machine import machine
from bench.options import Options
from bench.report import Report
from bench.stack import Stack, running
from deployer.checks.tensors import golden_inputs
from roost.contracts.cloudevents import Event
from roost.contracts.events import CUSTOMER_SIGNED_UP, CustomerSignedUp
from roost.contracts.ids import DEFAULT_MODEL, served_name, staging_prefix
from roost.contracts.manifest import GOLDEN_NAME, GoldenCase
from roost.contracts.rollout import Phase, Rollout
from roost.ports.clock import SystemClock
from roost.ports.ledger import RolloutQuery
from training.staging import staged

#: Airlines of the middle, none of which needs a cohort: 20,536, 12,275, 3,260, 714 and 5,162 flights.
AIRLINES: Final = ("us", "wn", "fl", "as", "vx")
_TARGET: Final = 45.0
_PATIENCE: Final = 300.0
_LOOK: Final = 0.05
#: After the last answer, until Airflow has written the end of its last task.
_AFTERWARDS: Final = 30.0
STEPS: Final = (
    "event taken, Airflow has the run",
    "Airflow: until the first task begins",
    "Airflow: prepare",
    "Airflow: between tasks",
    "Airflow: train and stage",
    "Airflow: publish, until the event is taken",
    "copy, vet",
    "canary",
    "load, flip, every node answers",
)


def run(options: Options) -> list[Report]:
    """Sign up one airline after another on a whole stack."""
    facts = machine()
    options.say("starting the whole stack")
    with running() as stack:
        options.say(f"up after {stack.seconds:.1f} s")
        return [report(facts, _signed_up(stack, options))]


def report(facts: dict[str, str | int | float], found: dict[str, dict[str, float]]) -> Report:
    """The steps of each signup, as a table."""
    totals = [sum(steps.values()) for steps in found.values()]
    rows = [
        (step, *(steps[step] for steps in found.values()), percentile([s[step] for s in found.values()], 50))
        for step in STEPS
    ]
    rows.append(("the whole", *totals, percentile(totals, 50)))
    middle = percentile(totals, 50)
    return Report(
        program="B10",
        machine=facts,
        sizes={"n": len(found), "one at a time": "yes", "nodes": 3},
        grids=[
            Grid(
                title="B10: signup to the first right answer of every node, seconds",
                columns=("step", *found, "p50"),
                rows=tuple(rows),
                notes=(
                    f"Against 24 hours, the published predecessor: {86_400 / middle:,.0f} times as fast at the median.",
                    "The first signup also pays for what a new stack does once.",
                ),
            )
        ],
        targets=[(f"p50 ≤ {_TARGET:g} s", f"{middle:.1f} s", middle <= _TARGET)],
        samples=dict(found),
    )


def _signed_up(stack: Stack, options: Options) -> dict[str, dict[str, float]]:
    found = {}
    with driver(stack.settings, every=options.every) as to:
        for airline in AIRLINES[: options.signups]:
            found[airline] = _one(stack, to, airline)
            options.say(f"{airline}: {sum(found[airline].values()):.1f} s")
    return found


def _one(stack: Stack, to: Driver, airline: str) -> dict[str, float]:
    payload = CustomerSignedUp(customer=airline)
    event = Event(
        id=str(uuid.uuid4()),
        type=CUSTOMER_SIGNED_UP,
        source="roost/bench",
        subject=airline,
        time=SystemClock().now(),
        data=payload,
    )
    generation = to.generation()
    published = time.time()
    to.publisher.publish(event)
    rollout = _promoting(to, airline)
    answers = to.first_answers(_question(to, rollout), after=generation)
    to.until(rollout.id, Phase.LIVE)
    return _steps(stack, to, rollout, (published, max(one.at for one in answers.values())))


def _promoting(to: Driver, airline: str) -> Rollout:
    """The airline's rollout, once it is being promoted."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        rows = to.ledger.rollouts(RolloutQuery(customer=airline, limit=1))
        if rows:
            return to.until(rows[0].id, Phase.PROMOTING)
        time.sleep(_LOOK)
    raise TimeoutError(f"no rollout of {airline} within {_PATIENCE:g} s")


def _question(to: Driver, rollout: Rollout) -> Question:
    prefix = staging_prefix(rollout.customer, rollout.model, rollout.run_id)
    artifact = staged(to.store, prefix)
    content, _ = to.store.read(prefix + GOLDEN_NAME)
    case = GoldenCase.model_validate_json(content.splitlines()[0])
    signature = artifact.manifest.signature(case.signature) if artifact else None
    if signature is None:
        raise ValueError(f"{prefix} does not declare signature {case.signature}")
    (answer,) = case.outputs.values()
    name = served_name(rollout.customer, DEFAULT_MODEL)
    return Question.of(name, golden_inputs(case, signature), np.asarray(answer, dtype=np.float64), above=0)


def _steps(stack: Stack, to: Driver, rollout: Rollout, ends: tuple[float, float]) -> dict[str, float]:
    published, answered = ends
    history = {line.after: line.at.timestamp() for line in to.ledger.history(rollout.id)}
    onboarding = to.ledger.onboarding(rollout.customer)
    if onboarding is None:
        raise LookupError(f"{rollout.customer} has no onboarding row")
    tasks = _times(stack, onboarding.airflow_run_id)
    marks = (
        published,
        tasks["queued"][0],
        *tasks["prepare"],
        *tasks["train_and_stage"],
        rollout.received_at.timestamp(),
        history[Phase.VETTED],
        history[Phase.PROMOTING],
        answered,
    )
    return dict(zip(STEPS, (after - before for before, after in pairwise(marks)), strict=True))


def _times(stack: Stack, run_id: str) -> dict[str, tuple[float, float]]:
    end = time.monotonic() + _AFTERWARDS
    while True:
        try:
            found = run_times(stack.settings.airflow, run_id)
        except NoTimes:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
            continue
        return {name: (first.timestamp(), last.timestamp()) for name, (first, last) in found.items()}
