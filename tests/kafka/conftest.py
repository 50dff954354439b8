"""Apache Kafka for the suites of this folder. One plain broker for the session is `apache_broker`, of tests/brokers.py.

A suite that needs its own kind of broker (SASL, TLS, an authorizer, several nodes) asks for `start_brokers` and gives a
`Layout`:

    brokers = start_brokers(Layout(
        listeners={"INSIDE": "PLAINTEXT", "CLIENTS": "SASL_SSL"},
        extras={"listener.name.clients.ssl.keystore.location": …, "authorizer.class.name": …, "super.users": …},
        format_arguments=("--add-scram", "SCRAM-SHA-512=[name=admin,password=…]"),
    ))
    KafkaSettings(bootstrap=brokers.bootstrap("CLIENTS"), security_protocol="SASL_SSL", …)
"""

from __future__ import annotations

import gc
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roost.adapters.postgres import PostgresLedger, open_ledger
from roost.embedded.apache_kafka import Brokers, Layout, Program
from roost.settings import DatabaseSettings
from tests.kafka.members import Members
from tests.kafka.secured import Secured
from tests.kafka.three import LAYOUT, ThreeBrokers

#: kafka-python 3.0.12 leaves the socket of a TLS handshake that failed to the garbage collector, which comes when it
#: likes: in the middle of another test.
_LEFT = "ignore:unclosed <ssl.SSLSocket:ResourceWarning"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(_LEFT))


def pytest_sessionfinish() -> None:
    """Nor shall it come when nobody's filters hold any more."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def start_brokers(kafka_program: Program) -> Iterator[Callable[[Layout], Brokers]]:
    """Starts what a layout asks for, on free ports with storage of its own; all end with the session."""
    directory = Path(tempfile.mkdtemp(prefix="roost-kafka-"))
    started: list[Brokers] = []

    def start(layout: Layout) -> Brokers:
        brokers = Brokers(kafka_program, directory / str(len(started)), layout)
        started.append(brokers)
        return brokers.start()

    yield start
    for brokers in started:
        brokers.kill()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def secured(start_brokers: Callable[[Layout], Brokers], tmp_path_factory: pytest.TempPathFactory) -> Secured:
    """A broker with TLS, logins and ACLs, its topics and rights set up; shared, so leave it as you found it."""
    return Secured.start(start_brokers, tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def cluster(start_brokers: Callable[[Layout], Brokers]) -> Iterator[ThreeBrokers]:
    brokers = start_brokers(LAYOUT)
    yield ThreeBrokers(brokers)
    brokers.kill()


@pytest.fixture
def kafka(cluster: ThreeBrokers) -> ThreeBrokers:
    """Three brokers, all of them well."""
    cluster.whole()
    return cluster


@pytest.fixture
def ledger(database_settings: DatabaseSettings) -> Iterator[PostgresLedger]:
    found = open_ledger(database_settings)
    yield found
    found.close()


@pytest.fixture
def members(kafka: ThreeBrokers, database_settings: DatabaseSettings, tmp_path: Path) -> Iterator[Members]:
    found = Members(kafka.settings, database_settings, tmp_path)
    yield found
    found.end()
