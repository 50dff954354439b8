"""The consumers as processes, on a real broker and a real PostgreSQL: what is accepted is never lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from roost.adapters.kafka import KafkaPublisher, open_admin, open_publisher, open_reader
from roost.adapters.postgres import PostgresLedger, open_ledger
from roost.contracts.cloudevents import Event, Message, encode
from roost.contracts.errors import BrokerUnavailable
from roost.contracts.events import (
    CUSTOMER_SIGNED_UP,
    DEPLOY_COMMAND,
    MODEL_READY,
    Command,
    CustomerSignedUp,
    DeployCommand,
    ModelReady,
    OperationReported,
    Payload,
    Topic,
)
from roost.ports.event_bus import topics
from roost.ports.ledger import OnboardingStage, RolloutQuery
from roost.settings import DatabaseSettings
from tests.brokers import Broker
from tests.contract.airflow_stand_in import AirflowStandIn, served

pytestmark = [pytest.mark.integration, pytest.mark.bus]

ROOT = Path(__file__).parents[3]
T0 = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """Broker, database, and `roost` commands pointed at both."""

    def __init__(self, broker: Broker, database: DatabaseSettings, directory: Path, closed_port: int) -> None:
        self.broker, self.directory = broker, directory
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ROOST_")},
            "ROOST_KAFKA__BOOTSTRAP": broker.address,
            "ROOST_KAFKA__PARTITIONS": "3",
            "ROOST_KAFKA__SESSION_TIMEOUT_MS": "6000",
            "ROOST_KAFKA__HEARTBEAT_INTERVAL_MS": "1000",
            "ROOST_DATABASE__URL": database.url.get_secret_value(),
            # Airflow is not up yet, and stays so.
            "ROOST_AIRFLOW__URL": f"http://127.0.0.1:{closed_port}",
        }
        self.ledger: PostgresLedger = open_ledger(database)
        self.publisher: KafkaPublisher = open_publisher(broker.settings)
        self.processes: list[subprocess.Popen[bytes]] = []

    def ensure_topics(self) -> None:
        open_admin(self.broker.settings).ensure(topics(partitions=3, replication=1))

    def consume(self, what: str) -> Consumer:
        log = self.directory / f"{what}-{len(self.processes)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "roost", "consume", what],
                env=self.environment,
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        return Consumer(process, log)

    def roost(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "roost", *arguments]
        return subprocess.run(
            command, env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
        )

    def publish(self, kind: str, data: Payload, event_id: str, subject: str = "acme") -> None:
        event = Event(id=event_id, type=kind, source="test", subject=subject, time=T0, data=data)
        self.publisher.publish(event)

    def customers(self) -> set[str]:
        return {row.customer for row in self.ledger.customers()}


class Consumer:
    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self.log = process, log

    def ready(self) -> dict[str, object]:
        for line in self.log.read_text().splitlines():
            if '"action": "listen"' in line:
                address = json.loads(line)["address"]
                try:
                    with urllib.request.urlopen(f"http://{address}/readyz", timeout=5) as answer:
                        return json.load(answer)  # type: ignore[no-any-return]  # it is what we wrote
                except urllib.error.HTTPError as error:
                    return json.load(error)  # type: ignore[no-any-return]  # the same, with code 503
                except OSError:
                    # A busy machine did not come to it in time.
                    return {"ready": False}
        return {"ready": False}


def eventually(
    condition: Callable[[], object], seconds: float = 180, says: Callable[[], str] = lambda: "it did not happen in time"
) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, says()
        time.sleep(0.1)


@pytest.fixture
def world(broker: Broker, database_settings: DatabaseSettings, tmp_path: Path, unused_port: int) -> Iterator[World]:
    built = World(broker, database_settings, tmp_path, unused_port)
    built.ensure_topics()
    yield built
    for process in built.processes:
        if process.poll() is None:
            process.kill()
        process.wait(60)
    built.publisher.close()
    built.ledger.close()


def test_a_signup_by_command_becomes_a_row_while_airflow_is_away(world: World) -> None:
    consumer = world.consume("signups")
    assert world.roost("signup", "acme", "--name", "Acme Air").returncode == 0
    eventually(lambda: world.customers() == {"acme"})
    eventually(lambda: "is it up yet?" in (world.ledger.onboarding("acme").error or ""))  # type: ignore[union-attr]
    eventually(lambda: consumer.ready().get("ready"))
    consumer.process.send_signal(signal.SIGTERM)
    assert consumer.process.wait(120) == 0


def test_a_training_that_fails_is_told_and_another_is_followed(world: World) -> None:
    """A row stayed in training for ever, and only Airflow knew that the run had failed."""
    airflow = AirflowStandIn()
    with served(airflow) as url:
        world.environment |= {
            "ROOST_AIRFLOW__URL": url, "ROOST_AIRFLOW__USERNAME": "ann", "ROOST_AIRFLOW__PASSWORD": "secret",
            "ROOST_CONSOLE__URL": "http://console.test", "COLUMNS": "400",
        }  # fmt: skip
        consumer = world.consume("signups")
        assert world.roost("signup", "acme", "--name", "Acme Air").returncode == 0
        eventually(lambda: airflow.runs)
        [(dag, run_id)] = airflow.runs
        assert f"http://console.test/rollouts?run_id={run_id}" in str(airflow.runs[(dag, run_id)]["note"])
        airflow.fail(dag, run_id, train_and_stage="acme has 3 rows, and 500 are needed")
        eventually(lambda: world.ledger.customers(OnboardingStage.FAILED))
        [told] = [row.event.data for row in world.ledger.unpublished(9)]
        assert isinstance(told, OperationReported)
        assert told.what == "customer.training.failed"
        printed = world.roost("customers", "--stage", "failed").stdout
        assert "training failed" in printed
        assert (
            "task train_and_stage failed: acme has 3 rows, and 500 are needed. Mend it, then `roost train acme"
            in printed
        )
        again = json.loads(world.roost("train", "acme", "--reason", "mended", "--json").stdout)
        assert again["followed"]
        note = str(airflow.runs[(dag, again["run_id"])]["note"])
        assert note.startswith("mended")
        assert f"rollouts?run_id={again['run_id']}" in note
        [row] = world.ledger.customers()
        assert (row.stage, row.airflow_run_id) == (OnboardingStage.TRAINING, again["run_id"])
        consumer.process.send_signal(signal.SIGTERM)
        assert consumer.process.wait(120) == 0


def test_poison_is_listed_shown_and_replayed_once_it_can_be_handled(world: World) -> None:
    world.consume("signups")
    good = encode(
        Event(
            id="1", type=CUSTOMER_SIGNED_UP, source="t", subject="acme", time=T0, data=CustomerSignedUp(customer="acme")
        )
    )
    world.publisher.send(Topic.CUSTOMERS, Message(key=b"acme", value=b"\x00garbage"))
    world.publisher.send(Topic.CUSTOMERS, Message(key=b"acme", value=good.value, headers=good.headers[:-3]))
    world.publisher.publish(
        Event(
            id="2",
            type=CUSTOMER_SIGNED_UP,
            source="t",
            subject="after",
            time=T0,
            data=CustomerSignedUp(customer="after"),
        )
    )
    eventually(lambda: "after" in world.customers())
    eventually(lambda: len(list(open_reader(world.broker.settings).read(Topic.DEAD_LETTERS))) == 2)
    letters = json.loads(world.roost("dead-letters", "list", "--json").stdout)
    assert sorted("not JSON" in one["reason"] or "no time" in one["reason"] for one in letters) == [True, True]
    garbage = next(one for one in letters if "not JSON" in one["reason"])
    shown = json.loads(world.roost("dead-letters", "show", garbage["id"], "--json").stdout)
    assert shown["value"] == "AGdhcmJhZ2U="
    replayed = world.roost("dead-letters", "replay", garbage["id"])
    assert (replayed.returncode, "1 replayed" in replayed.stdout) == (0, True)
    eventually(lambda: len(list(open_reader(world.broker.settings).read(Topic.DEAD_LETTERS))) == 3)


@pytest.mark.long
def test_kill_nine_between_row_and_commit_changes_nothing(world: World) -> None:
    """The consumer dies again and again while events come, each of them twice."""
    for round_ in range(3):
        consumer = world.consume("signups")
        for number in range(20):
            customer = f"c{round_}-{number}"
            for _ in range(2):
                world.publish(CUSTOMER_SIGNED_UP, CustomerSignedUp(customer=customer), customer, customer)
        eventually(lambda: any(name.startswith(f"c{round_}-") for name in world.customers()))  # noqa: B023  # called here
        consumer.process.kill()
        consumer.process.wait(60)
    world.consume("signups")
    eventually(lambda: len(world.customers()) == 60)
    assert not list(open_reader(world.broker.settings).read(Topic.DEAD_LETTERS))


@pytest.mark.forgetful_bus
@pytest.mark.long
def test_a_broker_that_comes_back_empty_is_consumed_from_again(world: World) -> None:
    consumer = world.consume("signups")
    for number in range(30):
        world.publish(
            CUSTOMER_SIGNED_UP, CustomerSignedUp(customer=f"before-{number}"), f"b{number}", f"before-{number}"
        )
    eventually(lambda: len(world.customers()) == 30)
    eventually(lambda: consumer.ready().get("ready"))
    world.broker.kill()
    eventually(lambda: not consumer.ready().get("ready"))
    world.broker.start()
    seen: set[str] = set()

    def told() -> bool:
        seen.add(json.dumps(consumer.ready()))
        return any("roost topics ensure" in one for one in seen)

    eventually(told, says=lambda: f"readiness only ever said {seen}")
    assert world.roost("topics", "ensure").returncode == 0
    # More than before, so that an old position would lie in the middle of the new topic.
    for number in range(60):
        customer = f"after-{number}"
        until = time.monotonic() + 60
        while True:
            try:
                world.publish(CUSTOMER_SIGNED_UP, CustomerSignedUp(customer=customer), f"a{number}", customer)
            except BrokerUnavailable:
                # The producer's id is unknown to the new broker: the first attempt fails, as the port says it may.
                assert time.monotonic() < until
            else:
                break
    eventually(lambda: len(world.customers()) == 90, 120)
    eventually(lambda: consumer.ready().get("ready"))


def test_models_and_commands_arrive_and_poison_on_one_does_not_stop_the_other(world: World) -> None:
    consumer = world.consume("models")
    for number in range(40):
        world.publisher.send(Topic.MODELS_READY, Message(key=b"x", value=b"garbage %d" % number))
    outside = a_model("gs://roost/staging/other/default/run-1/")
    world.publish(MODEL_READY, outside, "m0")
    world.publish(DEPLOY_COMMAND, DeployCommand(command=Command.FREEZE, actor="ann", reason="holiday"), "c1", "fleet")
    eventually(lambda: [row.event_id for row in world.ledger.open_commands(10)] == ["c1"])
    eventually(lambda: "poison" in json.dumps(consumer.ready()))
    buried = list(open_reader(world.broker.settings).read(Topic.DEAD_LETTERS))
    assert len(buried) == 20
    assert not world.ledger.rollouts(RolloutQuery())


def test_a_ready_model_becomes_one_rollout_and_one_event(world: World) -> None:
    world.consume("models")
    for number in range(10):
        world.publish(MODEL_READY, a_model("gs://roost/staging/acme/default/run-1/"), f"m{number % 3}")
    eventually(lambda: world.ledger.rollouts(RolloutQuery()))
    world.publish(DEPLOY_COMMAND, DeployCommand(command=Command.FREEZE, actor="ann", reason="x"), "end", "fleet")
    eventually(lambda: world.ledger.open_commands(1))
    assert len(world.ledger.rollouts(RolloutQuery())) == 1
    assert len(world.ledger.unpublished(100)) == 1


def a_model(uri: str) -> ModelReady:
    return ModelReady(
        customer="acme",
        artifact_uri=uri,
        artifact_digest="sha256:" + "b" * 64,
        run_id="run-1",
        trained_at=T0,
        data_window=("2013-01-01", "2013-07-01"),
        code_version="1",
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["signup", "../etc"], "customer id '../etc' is not valid"),
        (["signup", "acme", "--model", "A B"], "model id 'A B' is not valid"),
        (["offboard", "nobody", "--reason", "x"], "customer nobody is not known"),
        (["train", "nobody"], "customer nobody is not known"),
        (["train", "nobody", "--window", "yesterday"], "window 'yesterday'"),
        (["dead-letters", "show", "9-99"], "no dead letter 9-99"),
        (["dead-letters", "replay"], "name the dead letters"),
    ],
)
def test_bad_arguments_are_one_clear_line(world: World, arguments: list[str], says: str) -> None:
    result = world.roost(*arguments)
    assert result.returncode == 1
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_training_while_airflow_is_away_is_one_clear_line(world: World) -> None:
    world.ledger.sign_up("s", CustomerSignedUp(customer="acme"), at=T0, run_id="r")
    result = world.roost("train", "acme")
    assert (result.returncode, "is it up yet?" in result.stderr) == (1, True)
    assert len(result.stderr.strip().splitlines()) == 1


def test_who_left_is_not_trained(world: World) -> None:
    world.ledger.sign_up("s", CustomerSignedUp(customer="acme"), at=T0, run_id="r")
    world.ledger.offboard("o", "acme", "moved", at=T0)
    result = world.roost("train", "acme")
    assert (result.returncode, "`roost signup acme` first" in result.stderr) == (1, True)


@pytest.mark.long
def test_without_a_broker_commands_say_so_in_one_line(world: World) -> None:
    world.broker.kill()
    for arguments in (["signup", "acme"], ["topics", "ensure"], ["dead-letters", "list"]):
        result = world.roost(*arguments)
        assert result.returncode == 1
        assert f"Kafka at {world.broker.address}" in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1


def test_a_health_port_that_is_taken_is_named(world: World) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        world.environment["ROOST_HEALTH_PORT"] = str(taken.getsockname()[1])
        consumer = world.consume("signups")
        assert consumer.process.wait(120) == 78
    assert "ROOST_HEALTH_PORT" in consumer.log.read_text()
