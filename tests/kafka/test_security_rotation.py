"""Certificates are replaced while clients run: the next connection uses what the files hold then."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from roost.adapters.kafka import KafkaPublisher, KafkaSource, open_publisher, open_source
from roost.adapters.kafka.admin import check_topics
from roost.contracts.cloudevents import Message
from roost.contracts.errors import BrokerRefused, BrokerUnavailable
from roost.contracts.event_rights import Account, Group
from roost.contracts.events import Topic
from roost.embedded.apache_kafka import Brokers, Layout
from tests.integration.gateway.authorities import Authority
from tests.kafka.secured import Secured, patiently

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]


@pytest.fixture
def own(start_brokers: Callable[[Layout], Brokers], tmp_path: Path) -> Secured:
    """A broker of the test's own, since it changes what everybody trusts."""
    return Secured.start(start_brokers, tmp_path)


def sent(publisher: KafkaPublisher, topic: Topic, value: bytes) -> None:
    """Publish, however often it takes: as the deployer's relay and a loop's dead letters do, refusals included."""
    until = time.monotonic() + 150
    while True:
        try:
            return publisher.send(topic, Message(key=b"k", value=value, headers=()))
        except BrokerUnavailable:
            assert time.monotonic() < until
            time.sleep(0.2)


def heard(source: KafkaSource, value: bytes, seconds: float = 150) -> None:
    """Poll, as a loop does, until that has come."""
    until = time.monotonic() + seconds
    while True:
        try:
            if value in [one.value for one in source.poll(0.5)]:
                return
            source.lag()
        except BrokerUnavailable:
            time.sleep(0.2)
        assert time.monotonic() < until, f"{value!r} did not come"


def test_pairs_and_authorities_are_replaced_and_the_same_clients_go_on(own: Secured) -> None:
    """An authority takes over from another, in the order in which one does it, with one mistake on the way."""
    settings, files = own.mutual, own.certificates
    publisher, source = open_publisher(settings), open_source(settings, [Topic.CUSTOMERS], Group.SIGNUPS)
    product = open_publisher(own.settings(Account.SIGNUP_SOURCE))

    def go_on(value: bytes) -> None:
        sent(publisher, Topic.DEAD_LETTERS, value)
        sent(product, Topic.CUSTOMERS, value)
        heard(source, value)

    go_on(b"before")
    first, second = files.authority, Authority("second")
    files.trust(first, second)
    files.authority = second
    # Connections that are open are as good as before.
    go_on(b"while both are trusted")

    # The broker gets its new pair and trusts the second authority alone: too early for this client.
    files.renew_broker()
    [node] = own.brokers.nodes
    node.kill()
    node.start()
    with pytest.raises(BrokerRefused) as refused:
        patiently(lambda: check_topics(settings, [Topic.DEAD_LETTERS]))
    assert "ROOST_KAFKA__SSL_CERTFILE" in refused.value.remedy

    files.renew_client("roost-signup-consumer")
    files.trust(second)
    go_on(b"after")
    for one in (publisher, source, product):
        one.close()
