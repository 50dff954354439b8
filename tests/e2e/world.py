"""The whole local stack as a stranger uses it: the command, the REST API, Kafka, and TensorFlow Serving's gRPC."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import yaml

from deployer.console.views import CustomerView, RolloutDetail, RolloutPage, RolloutSummary
from roost.adapters.kafka import open_publisher
from roost.contracts.cloudevents import Message
from roost.contracts.events import Topic
from roost.contracts.rollout import Phase
from roost.embedded.demo.load import Row
from roost.embedded.demo.predictions import all_answer
from roost.settings import KafkaSettings
from training.datasets.flights import FlightsDataset

ROOT = Path(__file__).parents[2]
#: As the local stack's own, with somebody whose model answers for customers without one, on the page of rows.
STAND_IN = "stand-in"
POLICY = f"""\
version: 1
rules:
  bake_seconds: 60
  predictions: {{cohort_default: {STAND_IN}}}
cohorts:
  west: {{customers: [as, vx]}}
"""


class World:
    """One stack. Every wait has a deadline and says what it waited for."""

    def __init__(self, state: Path, bus: str = "embedded") -> None:
        self.state, self.bus = state, bus
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("ROOST_", "AIRFLOW_"))}
        self.traces = state / "traces.jsonl"
        own = {"ROOST_STATE_DIR": str(state), "PYTHONPATH": str(ROOT), "ROOST_TRACING__EXPORTER": "file"}
        self.environment = clean | own

    def run(
        self, *words: str, module: str = "roost", check: bool = True, seconds: float = 180, bare: bool = False
    ) -> str:
        """A command's standard output; `bare` leaves it to find the settings by the state directory."""
        given = {
            name: value for name, value in self.environment.items() if not (bare and name == "ROOST_SETTINGS_FILE")
        }
        done = subprocess.run(
            [sys.executable, "-m", module, *words],
            env=given,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        if check and done.returncode:
            raise AssertionError(f"{module} {' '.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout if check else done.stdout + done.stderr

    def up(self) -> None:
        """Start everything and read where it is."""
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.state / "policy.yaml").write_text(POLICY)
        self.run("up", "--wait", "--bus", self.bus, seconds=500)
        self.environment["ROOST_SETTINGS_FILE"] = str(self.state / "settings.yaml")
        self.settings: dict[str, Any] = yaml.safe_load((self.state / "settings.yaml").read_text())
        self.api = httpx.Client(base_url=self.settings["console"]["url"] + "/api/v1", timeout=20, trust_env=False)
        nodes = json.loads((self.state / "nodes.json").read_text())["nodes"]
        self.nodes = [node for node in nodes if node["pool"] == "default"]

    def close(self) -> None:
        """Give the API's connections back."""
        if hasattr(self, "api"):
            self.api.close()

    @property
    def kafka(self) -> KafkaSettings:
        """How to reach the broker."""
        return KafkaSettings(**self.settings["kafka"])

    def send(self, topic: Topic, *messages: Message) -> None:
        """Raw messages, as any producer could send them."""
        publisher = open_publisher(self.kafka)
        for message in messages:
            publisher.send(topic, message)
        publisher.close()

    def rollouts(self, customer: str) -> tuple[RolloutSummary, ...]:
        """A customer's, newest first."""
        answer = self.api.get("/rollouts", params={"customer": customer}).raise_for_status()
        return RolloutPage.model_validate_json(answer.content).items

    def rollout(self, rollout_id: str) -> RolloutDetail:
        """One with its history."""
        return RolloutDetail.model_validate_json(self.api.get(f"/rollouts/{rollout_id}").raise_for_status().content)

    def customer(self, customer: str) -> CustomerView | None:
        """None while nobody has heard of them."""
        answer = self.api.get(f"/customers/{customer}")
        return (
            None if answer.status_code == 404 else CustomerView.model_validate_json(answer.raise_for_status().content)
        )

    def signed_up(self, customer: str) -> RolloutSummary:
        """What answers for a customer who came by a signup event: by the first test that asks, for all that do."""
        if self.customer(customer) is None:
            self.run("signup", customer)
        found: RolloutSummary = self.until(
            f"{customer} is live", lambda: (found := self.customer(customer)) and found.live, seconds=240
        )
        return found

    def model_servers(self) -> dict[str, int]:
        """The process id of each replica's model server, by node."""
        token = self.settings["serving"]["control_token"]
        found = {}
        for node in self.nodes:
            state = httpx.get(
                f"http://{node['control']}/state", headers={"Authorization": f"Bearer {token}"}, trust_env=False
            )
            found[node["node"]] = int(state.raise_for_status().json()["model_server_pid"])
        return found

    def stage(self, customer: str, run_id: str, window: str = "2013-01-01:2013-12-01") -> None:
        """Train and stage without Airflow, as a pod would."""
        self.run("run", "--customer", customer, "--run-id", run_id, "--window", window, module="training")

    def publish(self, customer: str, run_id: str) -> None:
        """Announce what was staged."""
        self.run("publish", "--customer", customer, "--run-id", run_id, module="training")

    def until(self, what: str, holds: Callable[[], Any], seconds: float = 150) -> Any:
        """The first true value of `holds`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                found = holds()
            except httpx.TransportError:
                found = None
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"not within {seconds:g} s: {what}\n{self._told()}")

    def _told(self) -> str:
        """What an engineer would look at, before the stack goes: where everything stands, and the last words."""
        stands = [self.run(*words, check=False) for words in (("status",), ("customers",), ("rollouts",))]
        logs = [
            f"{log.name}:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-25:])
            for log in sorted((self.state / "logs").glob("*.log"))
            if log.stem in {"signup-consumer", "model-consumer", "deployer", "broker"}
        ]
        return "\n\n".join([*stands, *logs])

    def until_phase(self, customer: str, run_id: str, *phases: Phase, seconds: float = 150) -> RolloutSummary:
        """The rollout of that run once it is in one of the phases."""

        def look() -> RolloutSummary | None:
            return next((one for one in self.rollouts(customer) if one.run_id == run_id and one.phase in phases), None)

        found: RolloutSummary = self.until(f"{customer} {run_id} in {phases}", look, seconds)
        return found

    def answered_by(self, customer: str, row: Row, who: dict[str, Any]) -> bool:
        """Whether each replica's page of rows answers that customer, through its gateway, and says that it was `who`."""
        url = f"/v1/customers/{customer}/models/default:predict"
        answers = [
            httpx.post(f"http://{node['rest']}{url}", json={"rows": [row]}, timeout=20, trust_env=False)
            for node in self.nodes
        ]
        return all(one.status_code == 200 and who.items() <= one.json()["model"].items() for one in answers)

    def answers_everywhere(self, customer: str, version: int) -> bool:
        """Whether each replica answers a real flight with exactly that version."""
        rows: list[Row] = FlightsDataset().sample_requests(customer, 3)
        return all_answer([node["grpc"] for node in self.nodes], f"{customer}.default", rows, version)

    def kill(self, part: str) -> int:
        """Send kill -9 to a part; returns the process id that it had."""
        pid = self.pid(part)
        os.kill(pid, signal.SIGKILL)
        return pid

    def pid(self, part: str) -> int:
        """The process id of a part now."""
        status = json.loads(self.run("status", "--json", check=False))
        return int(next(one["pid"] for one in status["parts"] if one["name"] == part) or 0)

    def until_restarted(self, part: str, before: int) -> None:
        """Until the part is another process and ready."""

        def look() -> bool:
            status = json.loads(self.run("status", "--json", check=False))
            found = next(one for one in status["parts"] if one["name"] == part)
            return found["pid"] not in (None, before) and found["state"] == "ready"

        self.until(f"{part} is back", look, 180)
