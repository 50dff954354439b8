"""The processes at work on a secured broker, each with its own account: the way of an event, command and dead letter."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from consumers.dead_letters import unwrap
from roost.adapters.gcs import open_store
from roost.adapters.kafka import open_publisher, open_reader, open_source
from roost.adapters.kafka.acls import wanted
from roost.adapters.kafka.admin import check_topics
from roost.adapters.postgres import PostgresLedger
from roost.contracts.cloudevents import Event, Message, decode
from roost.contracts.event_rights import Account, Group
from roost.contracts.events import (
    CUSTOMER_SIGNED_UP,
    DEPLOY_COMMAND,
    Command,
    CustomerSignedUp,
    DeployCommand,
    RolloutChanged,
    Topic,
)
from roost.contracts.ids import staging_prefix
from roost.contracts.manifest import MANIFEST_NAME
from roost.doctor.findings import Level
from roost.doctor.wiring import checks, examine
from roost.settings import DatabaseSettings, Settings, StorageSettings
from tests.contract.airflow_stand_in import AirflowStandIn, served
from tests.kafka.processes import Processes, eventually
from tests.kafka.secured import Secured, patiently
from tests.parts import gcs_server
from tests.unit.training.artifacts import manifest

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[StorageSettings]:
    with gcs_server(tmp_path) as found:
        yield found


@pytest.fixture
def airflow() -> Iterator[tuple[AirflowStandIn, str]]:
    stand_in = AirflowStandIn()
    with served(stand_in) as url:
        yield stand_in, url


@pytest.fixture
def processes(
    database_settings: DatabaseSettings,
    storage: StorageSettings,
    airflow: tuple[AirflowStandIn, str],
    tmp_path: Path,
) -> Iterator[Processes]:
    nodes = tmp_path / "nodes.json"
    nodes.write_text('{"nodes": []}')
    found = Processes(
        tmp_path,
        {
            "ROOST_DATABASE__URL": database_settings.url.get_secret_value(),
            "ROOST_STORAGE__BUCKET": storage.bucket,
            "ROOST_STORAGE__ENDPOINT": storage.endpoint or "",
            "ROOST_AIRFLOW__URL": airflow[1],
            "ROOST_AIRFLOW__USERNAME": "ann",
            "ROOST_AIRFLOW__PASSWORD": "secret",
            "ROOST_SERVING__DIRECTORY_FILE": str(nodes),
            "ROOST_STATE_DIR": str(tmp_path / "state"),
        },
    )
    yield found
    found.end()


def event(kind: str, subject: str, data: CustomerSignedUp | DeployCommand) -> Event:
    return Event(id=uuid.uuid4().hex, type=kind, source="test", subject=subject, time=datetime.now(UTC), data=data)


def test_a_signup_becomes_a_run_and_a_model_a_told_rollout_by_four_accounts(
    secured: Secured,
    processes: Processes,
    ledger: PostgresLedger,
    airflow: tuple[AirflowStandIn, str],
    storage: StorageSettings,
) -> None:
    customer = f"acme-{uuid.uuid4().hex[:6]}"
    for account, command in (
        (Account.SIGNUP_CONSUMER, ["consume", "signups"]),
        (Account.MODEL_CONSUMER, ["consume", "models"]),
        (Account.DEPLOYER, ["deployer"]),
    ):
        processes.start(secured.settings(account), *command)
    product = open_publisher(secured.settings(Account.SIGNUP_SOURCE))
    signed_up = event(CUSTOMER_SIGNED_UP, customer, CustomerSignedUp(customer=customer))
    patiently(lambda: product.publish(signed_up))
    product.close()
    eventually(lambda: airflow[0].runs, processes.told)
    assert ledger.onboarding(customer) is not None

    staged = manifest(customer=customer)
    open_store(storage).write(
        staging_prefix(customer, "default", "run-1") + MANIFEST_NAME, staged.encoded(), if_generation=0
    )
    names = ["--customer", customer, "--run-id", "run-1"]
    published = processes.run(secured.settings(Account.TRAINING), "publish", *names, module="training")
    assert published.returncode == 0, published.stderr

    chat = open_source(secured.settings(Account.EVENT_READER), [Topic.DEPLOY_EVENTS], "roost-events-chat")
    told: list[str] = []

    def hears() -> bool:
        for one in patiently(lambda: chat.poll(0.5)):
            data = decode(one.value, one.headers).data if one.value != b"tried" else None
            if isinstance(data, RolloutChanged) and data.customer == customer:
                told.append(data.after)
        return "RECEIVED" in told and len(told) > 1

    eventually(hears, lambda: f"heard {told}\n{processes.told()}")
    chat.close()


def test_a_person_commands_signs_up_and_replays_poison(
    secured: Secured, processes: Processes, ledger: PostgresLedger
) -> None:
    operator = secured.settings(Account.OPERATOR)
    processes.start(secured.settings(Account.MODEL_CONSUMER), "consume", "models")
    processes.start(secured.settings(Account.SIGNUP_CONSUMER), "consume", "signups")
    customer = f"beta-{uuid.uuid4().hex[:6]}"
    assert processes.run(operator, "signup", customer).returncode == 0
    eventually(lambda: ledger.onboarding(customer), processes.told)

    lag = processes.run(operator, "topics", "lag", "--json")
    assert {row["group"] for row in json.loads(lag.stdout)} == set(Group), lag.stderr

    freeze = DeployCommand(command=Command.FREEZE, actor="ann", reason="holiday")
    garbage = f"garbage of {customer}".encode()
    publisher = open_publisher(operator)
    command = event(DEPLOY_COMMAND, "fleet", freeze)
    patiently(lambda: publisher.publish(command))
    patiently(lambda: publisher.send(Topic.DEPLOY_COMMANDS, Message(key=b"fleet", value=garbage)))
    publisher.close()
    eventually(lambda: ledger.open_commands(9), processes.told)

    def buried() -> list[str]:
        letters = patiently(lambda: [unwrap(one) for one in open_reader(operator).read(Topic.DEAD_LETTERS)])
        return [one.id for one in letters if one.size == len(garbage)]

    # A command that was sent twice, since its first answer was late, is poison twice; what counts is that it is there.
    eventually(buried, processes.told)
    listed = processes.run(operator, "dead-letters", "list", "--topic", "deploy.commands", "--json")
    assert buried()[0] in [one["id"] for one in json.loads(listed.stdout)]
    before = len(buried())
    replayed = processes.run(operator, "dead-letters", "replay", buried()[0])
    assert (replayed.returncode, replayed.stderr) == (0, "")
    eventually(lambda: len(buried()) > before, processes.told)


def test_topics_and_acls_are_ensured_by_command_and_say_what_is_there(secured: Secured, processes: Processes) -> None:
    setup = secured.settings(Account.SETUP)
    done = processes.run(setup, "topics", "ensure", "--acls")
    assert (done.returncode, done.stderr) == (0, "")
    assert "models.ready     unchanged" in done.stdout
    assert f"ACLs: 0 created, {len(wanted(setup))} there already" in done.stdout
    shown = json.loads(processes.run(setup, "topics", "ensure", "--acls", "--dry-run", "--json").stdout)
    assert set(shown["topics"].values()) == {"unchanged"}
    assert shown["acls"]["created"] == []
    rights = processes.run(setup, "topics", "rights").stdout.splitlines()
    assert sorted(line.replace(" cluster", " cluster kafka-cluster") for line in rights) == sorted(
        shown["acls"]["kept"]
    )


@pytest.mark.parametrize("account", list(Account))
def test_the_doctor_finds_every_account_well(secured: Secured, account: Account) -> None:
    (check,) = [one for one in checks(Settings(kafka=secured.settings(account)), probe=False) if one.about == "kafka"]
    patiently(lambda: check_topics(secured.settings(account), []))
    found = examine([check])
    assert {one.level for one in found} == {Level.WELL}, found
    assert found[0].said == f"roost-{account} may do what {account} does on the event bus, and no more"
