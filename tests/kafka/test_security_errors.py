"""What is wrong between a process and a secured broker is one line that names the thing and the remedy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka.admin import ACLOperation, ResourceType
from pydantic import SecretStr

from roost.adapters.kafka import open_publisher, open_reader, open_source
from roost.adapters.kafka.admin import check_topics
from roost.contracts.cloudevents import Message
from roost.contracts.errors import BrokerRefused
from roost.contracts.event_rights import Account, Group
from roost.contracts.events import Topic
from roost.settings import DatabaseSettings, KafkaSettings
from tests.integration.gateway.authorities import Authority
from tests.kafka.processes import Processes, eventually
from tests.kafka.secured import STRANGER, Secured, patiently

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

#: Wrong settings by name: what is changed, what is said, and where the remedy points.
WRONG: dict[str, tuple[Callable[[Secured, Path], dict[str, object]], str, str]] = {
    "a wrong password": (
        lambda _, __: {"sasl_password": SecretStr("wrong")},
        "refuses the login of 'roost-deployer' by SCRAM-SHA-512",
        "ROOST_KAFKA__SASL_USERNAME and _SASL_PASSWORD",
    ),
    "a mechanism that the broker has not": (
        lambda _, __: {"sasl_mechanism": "SCRAM-SHA-256"},
        "does not take the SASL mechanism SCRAM-SHA-256",
        "ROOST_KAFKA__SASL_MECHANISM",
    ),
    "an authority that nobody knows": (
        lambda _, directory: {"ssl_cafile": strange(directory)},
        "is not trusted (certificate verify failed",
        "ROOST_KAFKA__SSL_CAFILE",
    ),
    "a file that is not there": (
        lambda _, directory: {"ssl_cafile": directory / "none.pem"},
        "none.pem, which cannot be read",
        "put the file there",
    ),
    "plain text on a TLS port": (
        lambda _, __: {"security_protocol": "PLAINTEXT"},
        "speaks TLS on this port and was asked in plain text (PLAINTEXT)",
        "ROOST_KAFKA__SECURITY_PROTOCOL=SASL_SSL",
    ),
    "a login in plain text on a TLS port": (
        lambda _, __: {"security_protocol": "SASL_PLAINTEXT"},
        "speaks TLS on this port and was asked in plain text (SASL_PLAINTEXT)",
        "ROOST_KAFKA__SECURITY_PROTOCOL=SASL_SSL",
    ),
    "TLS without a login": (
        lambda _, __: {"security_protocol": "SSL"},
        "ends each connection at the first question",
        "ROOST_KAFKA__SECURITY_PROTOCOL=SASL_SSL",
    ),
    "TLS on a plain port": (
        lambda secured, _: {"bootstrap": secured.brokers.bootstrap("INSIDE")},
        "does not speak TLS on this port",
        "ROOST_KAFKA__BOOTSTRAP",
    ),
    "a login where none is taken": (
        lambda secured, _: {
            "bootstrap": secured.brokers.bootstrap("INSIDE"),
            "security_protocol": "SASL_PLAINTEXT",
        },
        "takes no login on this port",
        "ROOST_KAFKA__SECURITY_PROTOCOL=PLAINTEXT",
    ),
    "no certificate where one is asked for": (
        lambda secured, _: {"bootstrap": secured.brokers.bootstrap("MUTUAL"), "security_protocol": "SSL"},
        # Its own words, or, where they were lost with the connection, ours.
        "at 127.0.0.1",
        "ROOST_KAFKA__SSL_CERTFILE",
    ),
}


def strange(directory: Path) -> Path:
    """The certificate of an authority that has signed nothing here."""
    file = directory / "strange.pem"
    file.write_bytes(Authority("strange").certificate)
    return file


@pytest.mark.parametrize("wrong", list(WRONG))
def test_every_way_to_be_refused_is_named_with_its_remedy_by_every_client(
    secured: Secured, tmp_path: Path, wrong: str
) -> None:
    change, said, remedy = WRONG[wrong]
    settings = secured.settings(Account.DEPLOYER, **change(secured, tmp_path))
    message = Message(key=b"k", value=b"tried", headers=())
    publisher, source = open_publisher(settings), open_source(settings, [Topic.DEPLOY_EVENTS], Group.MODELS)
    for attempt in (
        lambda: check_topics(settings, ["deploy.events"]),
        lambda: publisher.send(Topic.DEPLOY_EVENTS, message),
        lambda: source.poll(0.2),
        lambda: list(open_reader(settings).read(Topic.DEPLOY_EVENTS)),
    ):
        with pytest.raises(BrokerRefused) as refused:
            patiently(attempt)
        assert said in refused.value.said
        assert remedy in refused.value.remedy
        assert "password-of" not in str(refused.value)
    publisher.close()
    source.close()


@pytest.fixture
def processes(tmp_path: Path, database_settings: DatabaseSettings) -> Iterator[Processes]:
    found = Processes(tmp_path, {"ROOST_DATABASE__URL": database_settings.url.get_secret_value()})
    yield found
    found.end()


def test_the_command_says_it_in_one_line(secured: Secured, processes: Processes) -> None:
    wrong = secured.settings(Account.SETUP, sasl_password=SecretStr("wrong"))
    done = processes.run(wrong, "topics", "ensure", "--acls")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("roost: Kafka at ")
    assert "refuses the login of 'roost-setup' by SCRAM-SHA-512: correct ROOST_KAFKA__SASL_USERNAME" in line


def test_the_doctor_says_it_and_ends_with_one(secured: Secured, processes: Processes, tmp_path: Path) -> None:
    wrong = secured.settings(Account.DEPLOYER, ssl_cafile=strange(tmp_path))
    without = [f"--without={one}" for one in ("storage", "clock", "pools", "airflow", "database", "policy")]
    done = processes.run(wrong, "doctor", "--json", *without)
    (found,) = [one for one in json.loads(done.stdout) if one["about"] == "kafka"]
    assert (done.returncode, found["level"]) == (1, "wrong")
    assert "is not trusted" in found["said"]
    assert found["remedy"].startswith("put the certificate of the authority")


def told(settings: KafkaSettings, processes: Processes, said: str) -> None:
    """A consumer that cannot get in says so, on its readiness and once in its log."""
    consumer = processes.start(settings, "consume", "signups")
    eventually(lambda: said in json.dumps(consumer.readiness()), processes.told)
    assert consumer.process.poll() is None
    # It is the same at each attempt, and there were several by now.
    eventually(lambda: "failed runs" in consumer.log.read_text(), processes.told)
    waiting = [line for line in consumer.lines() if line.get("action") == "back_off" and said in line["message"]]
    assert len(waiting) == 1, waiting


def test_a_consumer_that_is_refused_says_so_once_and_waits(secured: Secured, processes: Processes) -> None:
    plain = secured.settings(Account.SIGNUP_CONSUMER, security_protocol="PLAINTEXT")
    told(plain, processes, "speaks TLS on this port")
    wrong = secured.settings(Account.SIGNUP_CONSUMER, sasl_password=SecretStr("wrong"))
    told(wrong, processes, "refuses the login of 'roost-signup-consumer'")


def test_a_consumer_ends_where_the_settings_can_never_do(secured: Secured, processes: Processes) -> None:
    consumer = processes.start(
        secured.settings(Account.SIGNUP_CONSUMER, sasl_mechanism="SCRAM-512"), "consume", "signups"
    )
    assert consumer.process.wait(120) == 78
    (last,) = [line["message"] for line in consumer.lines() if line.get("action") == "stop"]
    assert "ROOST_KAFKA__SASL_MECHANISM is SCRAM-512: set it to PLAIN, SCRAM-SHA-256, SCRAM-SHA-512" in last


def test_a_consumer_without_a_right_names_it_and_goes_on_once_it_has_it(secured: Secured, processes: Processes) -> None:
    """First the topic, then the group: the rights that ``roost topics ensure --acls`` may bring while it starts."""
    consumer = processes.start(secured.settings(STRANGER), "consume", "signups")
    who = f"User:{STRANGER}"
    rights = [
        (who, ACLOperation.READ, ResourceType.TOPIC, Topic.CUSTOMERS.value),
        (who, ACLOperation.READ, ResourceType.GROUP, Group.SIGNUPS.value),
        # Other tests leave what nobody can handle in that topic.
        (who, ACLOperation.WRITE, ResourceType.TOPIC, Topic.DEAD_LETTERS.value),
    ]
    secured.give(*rights[2])

    def says(*words: str) -> bool:
        return all(word in json.dumps(consumer.readiness()) for word in words)

    eventually(lambda: says("TopicAuthorizationFailedError: customers", "--acls"), processes.told)
    secured.give(*rights[0])
    eventually(lambda: says("GroupAuthorizationFailedError", Group.SIGNUPS, "--acls"), processes.told)
    secured.give(*rights[1])
    eventually(lambda: "Authorization" not in json.dumps(consumer.readiness()), processes.told)
    # And when they are taken away from under it.
    secured.take(*rights[0])
    eventually(lambda: says("TopicAuthorizationFailedError", "--acls"), processes.told)
    assert consumer.process.poll() is None
    secured.take(*rights[1])
    secured.take(*rights[2])
