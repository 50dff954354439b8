"""A front before gateways that ask for its certificate."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

from cryptography import x509

from roost.adapters.grpc_tls import ClientTls
from roost.contracts.placement import Placement
from roost.ports.clock import SystemClock
from roost.ports.serving import NodeAddress
from roost.settings import GatewaySettings
from serving.gateway import binary
from serving.gateway.admin import GatewayAdmin
from serving.gateway.front import FrontConfig, front
from serving.gateway.live import LiveFiles
from tests.integration.gateway.authorities import Authority
from tests.integration.gateway.replica import Replica
from tests.integration.gateway.running import configured, running
from tests.integration.gateway.secured import await_that
from tests.parts import free_port


class BothDoors:
    """Two who ask without a pause, one at each door, until it is left; and what they found not as it should be."""

    def __init__(self, by_rest: Callable[[], None], by_grpc: Callable[[], None]) -> None:
        self.failures: list[str] = []
        self.answers = {"rest": 0, "grpc": 0}
        self.over = threading.Event()
        self._threads = [threading.Thread(target=ask) for ask in (by_rest, by_grpc)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join(90)

    def more(self, answers: int, seconds: float) -> None:
        """Until each door has answered so many times more."""
        before = dict(self.answers)
        await_that(lambda: all(self.answers[door] >= before[door] + answers for door in before), seconds=seconds)


class Files:
    """All certificates of a front and of the gateways behind it, in one directory."""

    def __init__(self, directory: Path) -> None:
        self.servers, self.clients, self.own = (directory / name for name in ("servers.pem", "clients.pem", "own.pem"))
        self.own_key, self.certificate, self.key = (directory / name for name in ("own.key", "tls.crt", "tls.key"))

    def front(self) -> ClientTls:
        return ClientTls(ca_file=self.servers, cert_file=self.own, key_file=self.own_key)

    @staticmethod
    def trust(file: Path, *authorities: Authority) -> None:
        fresh = file.with_suffix(".next")
        fresh.write_bytes(b"".join(each.certificate for each in authorities))
        fresh.replace(file)


class Node:
    """A gateway that asks for certificates, and a control port that says whether it is ready."""

    def __init__(self, directory: Path, files: Files, socket: Path, rest: str, *, pool: str = "default") -> None:
        """`socket` and `rest` are the model server's."""
        directory.mkdir()
        settings = GatewaySettings(
            tls_cert_file=files.certificate,
            tls_key_file=files.key,
            tls_client_ca_file=files.clients,
            access_log=directory / "access.log",
        )
        self._config = configured(directory, socket=socket, rest=rest, settings=settings)
        self._control = Replica(directory.name, pool)
        self._gateway = ExitStack()
        self.address = replace(self._control.address, rest=self._config.rest, grpc=self._config.grpc)
        self.start()

    def start(self) -> None:
        self._gateway.enter_context(running(self._config))
        self._control.ready = True

    def restart(self) -> None:
        """As a rolling restart does it: every connection to it is made anew afterwards."""
        self._control.ready = False
        admin = GatewayAdmin(self._config.admin_socket)
        admin.drain()
        await_that(lambda: admin.in_flight() == 0)
        self._gateway.close()
        self.log.write_text("")
        self.start()

    @property
    def log(self) -> Path:
        found = self._config.settings.access_log
        assert found is not None
        return found

    def asked_by(self, name: str) -> bool:
        """Whether that certificate, and no other, was shown to it on both doors since it started."""
        lines = [line for line in self.log.read_text().splitlines() if line.endswith("}")]
        shown = {door: [line for line in lines if f'"api":"{door}"' in line] for door in ("rest", "grpc")}
        return all(found and all(f'"CN={name}"' in line for line in found) for found in shown.values())

    def signed_by(self) -> str:
        """The authority of the certificate that a new connection is shown."""
        host, port = self.address.rest.split(":")
        shown = ssl.get_server_certificate((host, int(port)), timeout=60)
        return x509.load_pem_x509_certificate(shown.encode()).issuer.rfc4514_string().removeprefix("CN=")

    def close(self) -> None:
        self._gateway.close()
        self._control.close()


def a_front(
    directory: Path,
    nodes: list[NodeAddress],
    tls: ClientTls,
    settings: GatewaySettings,
    placement: Placement | None = None,
) -> FrontConfig:
    return FrontConfig(
        rest=f"127.0.0.1:{free_port()}",
        grpc=f"127.0.0.1:{free_port()}",
        nodes=nodes,
        admin_socket=directory / "front.sock",
        settings=settings,
        placement=placement,
        tls=tls,
    )


@contextmanager
def started(config: FrontConfig, directory: Path) -> Iterator[tuple[GatewayAdmin, LiveFiles]]:
    """It takes requests, and sees all its replicas ready."""
    admin = GatewayAdmin(config.admin_socket)
    live = LiveFiles(directory / "front", admin, SystemClock(), deadline=60)
    file = live.start(front(config))
    binary.validate(file)
    with subprocess.Popen(binary.command(binary.find_envoy("auto"), file), stderr=subprocess.DEVNULL) as process:
        try:
            await_that(lambda: config.admin_socket.exists() and admin.ready() and healthy(admin), seconds=60)
            yield admin, live
        finally:
            process.terminate()
            process.wait(60)


def healthy(admin: GatewayAdmin) -> bool:
    """Whether it sees all its replicas ready on both doors."""
    counted = {"healthy": 0, "total": 0}
    for line in admin.stats().splitlines():
        for what in counted:
            if line.startswith(f"envoy_cluster_membership_{what}{{"):
                counted[what] += int(line.rsplit(" ", 1)[1])
    return counted["healthy"] == counted["total"] > 0


def taken_up(admin: GatewayAdmin) -> int:
    """How often the front has taken up a certificate, or an authority, that is new; on both doors together."""
    name = "envoy_cluster_client_ssl_socket_factory_ssl_context_update_by_sds{"
    return sum(int(line.rsplit(" ", 1)[1]) for line in admin.stats().splitlines() if line.startswith(name))
