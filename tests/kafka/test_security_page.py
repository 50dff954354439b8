"""What docs/operations.md tells an administrator of Apache Kafka to do, done line by line on a broker that knows nobody."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from roost import settings
from roost.adapters.kafka import KafkaPublisher, open_publisher
from roost.contracts.cloudevents import Message
from roost.contracts.errors import BrokerRefused, BrokerUnavailable
from roost.contracts.event_rights import Account
from roost.contracts.events import Topic
from roost.embedded.apache_kafka import Brokers, Layout, Program
from tests.documented import commands
from tests.kafka.processes import Processes
from tests.kafka.secured import Secured, patiently
from tests.kafka.tools import Tools

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

PAGE = Path("docs/operations.md")
LINES = [line for line in commands(PAGE) if line.startswith(("kafka-", "roost topics"))]


def test_the_page_has_the_lines() -> None:
    """Those of another kind are not left out by their spelling."""
    assert [line.split()[0] for line in LINES] == ["roost"] * 3 + ["kafka-configs.sh", "kafka-acls.sh"]


@pytest.fixture
def bare(start_brokers: Callable[[Layout], Brokers], tmp_path: Path) -> Secured:
    return Secured.bare(start_brokers, tmp_path / "certificates")


@pytest.fixture
def tools(kafka_program: Program, bare: Secured, tmp_path: Path) -> Tools:
    (tmp_path / "admin.properties").write_text(bare.admin_properties)
    return Tools.written(kafka_program, settings.cache_dir(), tmp_path)


def is_taken(publisher: KafkaPublisher) -> bool:
    """Whether the broker takes a message; a login that it refuses is no, a broker that is busy is asked again."""
    try:
        patiently(lambda: publisher.send(Topic.DEPLOY_EVENTS, Message(key=b"k", value=b"v", headers=())))
    except BrokerRefused as refused:
        if "refuses the login of 'roost-deployer'" in refused.said:
            return False
        raise
    return True


def test_accounts_rights_and_a_new_password_as_the_page_says(bare: Secured, tools: Tools, tmp_path: Path) -> None:
    users, rights = (next(line for line in LINES if line.startswith(name)) for name in ("kafka-configs", "kafka-acls"))
    kafka = bare.brokers.bootstrap("LOGIN")

    def password(account: str, text: str) -> None:
        done = tools.run(users, KAFKA=kafka, ACCOUNT=account, PASSWORD=text)
        assert (done.returncode, done.stderr) == (0, ""), done
        assert f"Completed updating config for user {account}" in done.stdout

    # An installation, by the page alone.
    password("roost-setup", "of the set-up")
    password("roost-deployer", "the first")
    done = tools.run(rights, KAFKA=kafka)
    assert done.returncode == 0, done
    setup = bare.settings(Account.SETUP, sasl_password=SecretStr("of the set-up"))
    processes, said = Processes(tmp_path), dict[str, str]()
    for line in LINES:
        if line.startswith("roost "):
            run = processes.run(setup, *shlex.split(line)[1:])
            assert run.returncode == 0, (line, run.stdout, run.stderr)
            said[line] = run.stdout
    # Before its rights are there, this account may not look at the topics.
    assert "models.ready     hidden until the rights are given" in said["roost topics ensure --acls --dry-run"]
    assert "models.ready     created" in said["roost topics ensure --acls"]

    # A new password: who reads it from a file goes on, who has it from the environment must be started again.
    file = tmp_path / "password"
    file.write_text("the first\n")
    follows = open_publisher(bare.settings(Account.DEPLOYER, sasl_password=None, sasl_password_file=file))
    stays = open_publisher(bare.settings(Account.DEPLOYER, sasl_password=SecretStr("the first")))
    assert [is_taken(one) for one in (follows, stays)] == [True, True]
    password("roost-deployer", "the second")
    # A connection that is open is not asked again.
    assert [is_taken(one) for one in (follows, stays)] == [True, True]
    [node] = bare.brokers.nodes
    node.kill()
    node.start()
    assert [is_taken(one) for one in (follows, stays)] == [False, False]
    fresh = tmp_path / "password.next"
    fresh.write_text("the second\n")
    fresh.replace(file)
    assert [is_taken(one) for one in (follows, stays)] == [True, False]
    for one in (follows, stays):
        one.close()


def test_a_password_file_that_is_not_there_is_named(bare: Secured, tmp_path: Path) -> None:
    missing = bare.settings(Account.DEPLOYER, sasl_password=None, sasl_password_file=tmp_path / "none")
    with pytest.raises(BrokerUnavailable, match=r"ROOST_KAFKA__SASL_PASSWORD_FILE names .*none, which cannot be read"):
        open_publisher(missing).send(Topic.DEPLOY_EVENTS, Message(key=b"k", value=b"v", headers=()))
