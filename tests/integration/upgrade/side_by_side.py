"""One installation whose processes are of two releases: each of the code that a step of the test names."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from roost.adapters.kafka import open_publisher, open_reader
from roost.contracts.cloudevents import Event, decode
from roost.contracts.errors import NotFound
from roost.contracts.events import (
    CUSTOMER_SIGNED_UP,
    MODEL_READY,
    CustomerSignedUp,
    ModelReady,
    RolloutChanged,
    Topic,
)
from roost.contracts.ids import rollout_id, staging_prefix
from roost.contracts.rollout import Phase
from roost.settings import KafkaSettings
from tests.contract.airflow_stand_in import AirflowStandIn
from tests.integration.deployer.fleet import Fleet, eventually, stage

_FACTORS: Final = {"one": 1.0, "two": 2.0, "three": 3.0}


class Installation:
    """A fleet whose consumers and deployer are replaced by those of another release, and the customers who come."""

    def __init__(self, fleet: Fleet, kafka: KafkaSettings, airflow: AirflowStandIn, models: Path) -> None:
        self.fleet, self._kafka, self._airflow, self._models = fleet, kafka, airflow, models
        self._publisher = open_publisher(kafka)
        #: Customer to what their model multiplies by.
        self.customers: dict[str, float] = {}
        self._rollouts: dict[str, str] = {}
        self._live: list[str] = []

    def close(self) -> None:
        self._publisher.close()
        self.fleet.stop()

    def processes(self, *, signups: Path, models: Path, deployers: tuple[Path, ...]) -> None:
        """From now on these run, each of that release; those of before have ended as a pod does.

        One consumer a topic, as the embedded broker has it: old and new members of one group are `tests/kafka`'s.
        """
        before = [name for name in self.fleet.processes if name.startswith(("signups", "models", "deployer-"))]
        self.end(*before)
        self.fleet.spawn("signups", "consume", "signups", code=signups)
        self.fleet.spawn("models", "consume", "models", code=models)
        for number, code in enumerate(deployers):
            self.fleet.spawn(f"deployer-{number}", "deployer", code=code)

    def consoles(self, **codes: Path) -> None:
        """Consoles by name, each of that release; returns when each answers."""
        for name, code in codes.items():
            self.fleet.spawn(name, "console", code=code)
        for name in codes:
            eventually(lambda one=name: self._address(one) is not None, self.told, 300)  # type: ignore[misc]

    def roost(self, code: Path, console: str, *words: str) -> str:
        """What a command of that release prints, asking that console."""
        environment = self.fleet.environment | {
            "PYTHONPATH": str(code),
            "ROOST_CONSOLE__URL": f"http://{self._address(console)}",
            "COLUMNS": "200",
        }
        command = [sys.executable, "-m", "roost", *words]
        done = subprocess.run(
            command, env=environment, cwd=code, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.told()}"
        return done.stdout

    def tells(self, code: Path, console: str, *words: str, reason: str) -> None:
        """A command that changes something; accepted and done, be it after the wait."""
        said = self.roost(code, console, *words, "--reason", reason, "--actor", "ann", "--wait", "60", "--json")
        assert json.loads(said)["done_at"] is not None, said

    def waits(self, customer: str) -> None:
        """Until their rollout waits for a person."""
        eventually(
            lambda: self._phases(customer)[-1:] == [Phase.AWAITING_APPROVAL], lambda: self._why(customer), seconds=300
        )

    def _address(self, console: str) -> str | None:
        for line in (self.fleet.root / f"{console}.log").read_text().splitlines():
            if '"action": "listen"' in line and "console answers" in line:
                return str(json.loads(line)["address"])
        return None

    def end(self, *names: str) -> None:
        """By SIGTERM; each must end well."""
        for name in names:
            self.fleet.processes[name].terminate()
        for name in names:
            assert self.fleet.processes[name].wait(120) == 0, self.fleet.log(name)
            del self.fleet.processes[name]

    def nodes(self, names: dict[str, str], code: Path) -> None:
        """These nodes end and come back, of that release, over what the earlier life left on the disk."""
        self.end(*(name for name in names if name in self.fleet.processes))
        self.fleet.start_nodes(names, code=code)

    def comes(self, kind: str) -> str:
        """A customer signs up, their training ends, and their model is announced."""
        customer = f"{kind}-{uuid.uuid4().hex[:6]}"
        self._publish(CUSTOMER_SIGNED_UP, CustomerSignedUp(customer=customer))
        eventually(lambda: self._run_of(customer) is not None, lambda: f"{customer} has no run\n{self.told()}", 300)
        self._announce(customer, kind)
        return customer

    def is_live(self, customer: str) -> None:
        """Wait until their model answers on every node, and see that everybody else's still does."""
        eventually(lambda: Phase.LIVE in self._phases(customer), lambda: self._why(customer), seconds=300)
        self._live.append(customer)
        pool = [one for one in self.fleet.addresses if one.pool == "default"]
        wanted = {name: [self.customers[name]] * len(pool) for name in self._live}

        def answers() -> dict[str, list[float]]:
            return {name: self.fleet.answers(customer=name) for name in wanted}

        eventually(lambda: answers() == wanted, lambda: f"{answers()} answer, not {wanted}\n{self.told()}")

    def _why(self, customer: str) -> str:
        rollout = self._rollouts[customer]
        known = self._phases(customer)
        lines = [f"{one.after}: {one.reason}" for one in self.fleet.ledger.history(rollout)] if known else ["no row"]
        return "\n".join([f"{customer} is not live:", *lines, self.told()])

    def _phases(self, customer: str) -> list[Phase]:
        """Those it has been in; none while its consumer has not come to the event."""
        try:
            return [line.after for line in self.fleet.ledger.history(self._rollouts[customer])]
        except NotFound:
            return []

    def nothing_is_lost(self) -> None:
        """Every line of every rollout's history was told on the bus, once by its id, in its order; nothing is dead."""
        reader = open_reader(self._kafka)

        def told(customer: str) -> list[str]:
            found: dict[str, str] = {}
            for delivery in reader.read(Topic.DEPLOY_EVENTS):
                event = decode(delivery.value, delivery.headers)
                if isinstance(event.data, RolloutChanged) and event.data.customer == customer:
                    found[event.id] = event.data.after
            return list(found.values())

        for customer in self._rollouts:
            eventually(
                lambda one=customer: told(one) == self._phases(one),  # type: ignore[misc]
                lambda one=customer: f"told {told(one)}, written {self._phases(one)}",  # type: ignore[misc]
            )
        assert list(reader.read(Topic.DEAD_LETTERS)) == []

    def told(self) -> str:
        """The end of each process's log."""
        return "\n".join(f"== {name}\n{self.fleet.log(name)[-1500:]}" for name in self.fleet.processes)

    def _run_of(self, customer: str) -> str | None:
        return next((run for dag, run in list(self._airflow.runs) if f"__{customer}__" in run), None)

    def _announce(self, customer: str, kind: str) -> None:
        """What the run does in the end."""
        run, factor = str(self._run_of(customer)), _FACTORS[kind]
        trained_at = datetime.now(UTC) - timedelta(minutes=1)
        manifest = stage(self.fleet.store, self._models / kind, run, trained_at, factor, customer=customer)
        ready = ModelReady(
            customer=customer,
            artifact_uri=self.fleet.store.uri(staging_prefix(customer, "default", run)),
            artifact_digest=manifest.digest,
            run_id=run,
            trained_at=trained_at,
            data_window=manifest.run.data_window,
            code_version="test",
        )
        self._publish(MODEL_READY, ready)
        self.customers[customer] = factor
        self._rollouts[customer] = rollout_id(customer, "default", manifest.digest)

    def _publish(self, kind: str, data: CustomerSignedUp | ModelReady) -> None:
        now, subject = datetime.now(UTC), data.customer
        self._publisher.publish(
            Event(id=uuid.uuid4().hex, type=kind, source="test", subject=subject, time=now, data=data)
        )
