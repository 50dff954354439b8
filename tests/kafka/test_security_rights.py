"""Every account may do what its process does, and nothing else: tried, for each, on every topic and group."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import pytest
from kafka import errors
from kafka.admin import ACLOperation, ConfigResource, ConfigResourceType, NewTopic, ResourceType

from roost.adapters.kafka import KafkaSource, ensure_acls, open_publisher, open_reader, open_source
from roost.adapters.kafka.admin import admin_client
from roost.contracts.cloudevents import Message
from roost.contracts.errors import BrokerRefused
from roost.contracts.event_rights import DUTIES, Account, Group
from roost.contracts.events import Topic
from tests.kafka.secured import STRANGER, Secured, patiently

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

T = TypeVar("T")
EVERYBODY = pytest.mark.parametrize("account", list(Account))


def allowed(things: Iterable[T], attempt: Callable[[T], object]) -> set[T]:
    """Those with which the broker lets it. Any other trouble than a refusal is the test's own."""
    return {thing for thing in things if may(partial(attempt, thing))}


def may(attempt: Callable[[], object]) -> bool:
    try:
        patiently(attempt)
    except BrokerRefused as error:
        refused = error
    else:
        return True
    assert "AuthorizationFailed" in refused.said, refused
    assert "roost topics ensure --acls" in refused.remedy
    return False


def written(secured: Secured, who: Account | str) -> set[Topic]:
    """Topics to which it could write."""
    publisher = open_publisher(secured.settings(who))
    message = Message(key=b"k", value=b"tried", headers=())
    try:
        return allowed(Topic, lambda topic: publisher.send(topic, message))
    finally:
        publisher.close()


def read(secured: Secured, who: Account | str) -> set[Topic]:
    """Topics that it could read."""
    reader = open_reader(secured.settings(who))
    return allowed(Topic, lambda topic: list(reader.read(topic)))


@EVERYBODY
def test_an_account_writes_to_its_own_topics_only(secured: Secured, account: Account) -> None:
    assert written(secured, account) == set(DUTIES[account].writes)


@EVERYBODY
def test_an_account_reads_its_own_topics_only(secured: Secured, account: Account) -> None:
    assert read(secured, account) == set(DUTIES[account].reads)


def test_a_login_without_rights_reads_and_writes_nothing(secured: Secured) -> None:
    assert (written(secured, STRANGER), read(secured, STRANGER)) == (set(), set())


@EVERYBODY
def test_an_account_joins_its_own_groups_only(secured: Secured, account: Account) -> None:
    settings = secured.settings(account)
    own = DUTIES[account].topics[0]

    def join(group: str) -> None:
        source = open_source(settings, [own], group)
        try:
            until_joined(source)
        finally:
            source.close()

    joined = allowed([*(group.value for group in Group), "roost-events-chat"], join)
    assert joined == {group.replace("*", "chat") for group in DUTIES[account].groups}


def until_joined(source: KafkaSource, seconds: float = 120) -> None:
    """Poll until partitions are its own, or it is refused: a broker that is slow to say either has said neither."""
    until = time.monotonic() + seconds
    while not (source.poll(0.2), source.lag())[1]:
        assert time.monotonic() < until, "neither joined nor refused"


@contextmanager
def others_topic(secured: Secured) -> Iterator[str]:
    """A topic that is none of Roost's."""
    name = f"orders-{uuid.uuid4().hex[:8]}"
    with admin_client(secured.admin) as client:
        client.create_topics([NewTopic(name=name, num_partitions=1, replication_factor=1)])
        yield name
        client.delete_topics([name])


def grown(client: Any, topic: str) -> None:
    client.create_partitions({topic: 9}, validate_only=True)


def altered(client: Any, topic: str) -> None:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "1"})
    said = client.alter_configs([resource], validate_only=True, raise_on_unknown=False)["topic"][topic]
    if said != "OK":
        raise errors.TopicAuthorizationFailedError(said)


def made(client: Any, topic: str) -> None:
    client.create_topics([NewTopic(name=f"{topic}-2", num_partitions=1, replication_factor=1)], validate_only=True)


def deleted(client: Any, topic: str) -> None:
    client.delete_topics([topic])


@EVERYBODY
def test_only_the_set_up_changes_topics_and_only_roosts(secured: Secured, account: Account) -> None:
    settings = secured.settings(account)

    def tried(does: Callable[[Any, str], None], topic: str) -> None:
        with admin_client(settings) as client:
            does(client, topic)

    everything = (grown, altered, made, deleted)
    on_roosts = allowed(everything, lambda does: tried(does, Topic.CUSTOMERS.value))
    assert on_roosts == ({grown, altered} if account is Account.SETUP else set())
    with others_topic(secured) as orders:
        assert allowed(everything, lambda does: tried(does, orders)) == set()


@EVERYBODY
def test_only_the_set_up_sees_and_gives_rights(secured: Secured, account: Account) -> None:
    assert may(lambda: ensure_acls(secured.settings(account), dry_run=True)) == (account is Account.SETUP)
    right = (f"User:{STRANGER}", ACLOperation.WRITE, ResourceType.TOPIC, Topic.DEPLOY_COMMANDS.value)
    report = patiently(lambda: ensure_acls(secured.settings(Account.SETUP)))
    assert (report.created, report.surplus, report.others) == ((), (), ())
    secured.give(*right)
    report = patiently(lambda: ensure_acls(secured.settings(Account.SETUP)))
    assert [str(one) for one in report.others] == [f"User:{STRANGER} may write topic deploy.commands"]
    secured.take(*right)
