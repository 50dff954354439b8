"""The parts of the local stack, in the order of the table."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from roost.embedded import postgres, probes
from roost.embedded.addresses import NODES
from roost.embedded.blueprint import Blueprint, pool_of
from roost.embedded.gcs_server import serve_gcs
from roost.embedded.part import External, Part

#: What the others write to, and so stops after them.
STOP_LAST: Final = frozenset({"postgres", "broker", "object-store"})
_PYTHON: Final = sys.executable
#: Seconds between the scheduled rolling restarts of one machine: a day.
_RESTART_EVERY: Final = 86_400


def parts(blueprint: Blueprint) -> list[Part]:
    """Every part that this stack itself runs."""
    found = [*_data(blueprint), *_airflow(blueprint), *_nodes(blueprint), *_services(blueprint)]
    names = {part.name for part in found}
    return [_known(part, names) for part in found]


def externals(blueprint: Blueprint) -> list[External]:
    """Every part that somebody else runs, as the settings say."""
    return list(_externals(blueprint))


def _known(part: Part, names: set[str]) -> Part:
    """A part that somebody else runs is not waited for."""
    return replace(part, after=tuple(name for name in part.after if name in names))


def _data(blueprint: Blueprint) -> Iterator[Part]:
    state, addresses = blueprint.state, blueprint.addresses
    if not (blueprint.external("database") and blueprint.external("airflow")):
        yield Part(
            name="postgres",
            command=(_PYTHON, "-m", "roost.embedded.postgres", str(state.postgres), str(state.sockets)),
            probe=probes.database(postgres.url(state.sockets, "roost")),
            address=str(state.sockets / ".s.PGSQL.5432"),
            # A fast shutdown; its children are its own to stop.
            stop_signal="INT",
            stop_group=False,
            stop_seconds=30,
        )
    if not blueprint.external("broker"):
        yield _broker(blueprint)
    else:
        yield Part(name="topics", command=(_PYTHON, "-m", "roost", "topics", "ensure"), step=True)
    if not blueprint.external("object-store"):
        server = serve_gcs(state.objects, addresses.ports["object-store"])
        yield Part(
            name="object-store",
            command=server.command,
            probe=probes.http_ok(server.ready_url),
            address=server.endpoint,
            ports={"object-store": addresses.ports["object-store"]},
        )
    yield Part(
        name="migrations",
        command=(_PYTHON, "-m", "roost", "database", "migrate"),
        after=("postgres",),
        step=True,
    )


def _broker(blueprint: Blueprint) -> Part:
    addresses, marker = blueprint.addresses, blueprint.state.sockets / "broker.ready"
    embedded = Part(
        name="broker",
        command=(_PYTHON, "-m", "roost.embedded.broker", str(marker)),
        # The marker of a broker that was killed stands until the next one runs, but nobody listens until then.
        probe=probes.both(probes.listens(addresses.at("broker")), probes.exists(marker, "its topics are not made yet")),
        address=addresses.at("broker"),
        ports={"broker": addresses.ports["broker"]},
        stop_group=False,
    )
    if blueprint.bus == "embedded":
        return embedded
    controller = addresses.ports["broker-controller"]
    directory = str(blueprint.state.kafka)
    return replace(
        embedded,
        command=(_PYTHON, "-m", "roost.embedded.apache_kafka", str(marker), directory, str(controller)),
        address=f"{embedded.address} (Apache Kafka)",
        ports={**embedded.ports, "broker-controller": controller},
        # A dozen seconds on a machine that is free; several minutes were seen on one that was not.
        ready_seconds=400,
        # It closes its log cleanly, so that the next start need not look through it.
        stop_seconds=30,
        remedy=f"mend what it says, or run the embedded broker: roost up. Its log is kept in {directory}",
    )


def _airflow(blueprint: Blueprint) -> Iterator[Part]:
    if blueprint.external("airflow"):
        return
    state, addresses = blueprint.state, blueprint.addresses
    url = addresses.url("airflow")
    database = postgres.url(state.sockets, "airflow")
    yield Part(
        name="airflow-db",
        command=(
            *(_PYTHON, "-m", "roost.embedded.airflow_database"),
            *(str(state.airflow / "migrated.json"), database),
        ),
        after=("postgres",),
        step=True,
        ready_seconds=300,
    )
    yield Part(
        name="airflow-api",
        command=(_PYTHON, "-m", "airflow", "api-server"),
        after=("airflow-db",),
        probe=probes.airflow(url),
        address=url,
        ports={"airflow": addresses.ports["airflow"]},
        ready_seconds=300,
    )
    yield Part(
        name="airflow-scheduler",
        command=(_PYTHON, "-m", "airflow", "scheduler"),
        after=("airflow-db",),
        probe=probes.airflow(url, "scheduler"),
        ports={"airflow-logs": addresses.ports["airflow-logs"]},
        ready_seconds=300,
        # A task that runs may finish its step.
        stop_seconds=20,
    )
    yield Part(
        name="airflow-dags",
        command=(_PYTHON, "-m", "airflow", "dag-processor"),
        after=("airflow-db",),
        probe=probes.airflow(url, "dag_processor"),
        ready_seconds=300,
    )


def _nodes(blueprint: Blueprint) -> Iterator[Part]:
    if blueprint.external("nodes"):
        return
    addresses = blueprint.addresses
    for node in NODES:
        purposes = ("control", "rest", "grpc")
        places = {purpose: addresses.at(f"{node}-{purpose}") for purpose in purposes}
        yield Part(
            name=node,
            command=(
                *(_PYTHON, "-m", "roost", "node", "--pool", pool_of(node, blueprint.outside), "--name", node),
                *(text for purpose, address in places.items() for text in (f"--{purpose}", address)),
            ),
            after=("object-store",),
            # Airflow's chain is the longest; the model servers' imports would only take its time.
            behind=("airflow-db",),
            probe=probes.http_ok(f"http://{places['control']}/readyz"),
            address=f"REST {places['rest']}, gRPC {places['grpc']}",
            ports={f"{node}-{purpose}": addresses.ports[f"{node}-{purpose}"] for purpose in purposes},
            ready_seconds=300,
            # It drains and stops its model server and gateway itself.
            stop_group=False,
            stop_seconds=20,
        )
    yield _front(blueprint)


def _front(blueprint: Blueprint) -> Part:
    addresses = blueprint.addresses
    rest, grpc = addresses.at("front-rest"), addresses.at("front-grpc")
    return Part(
        name="front",
        command=(_PYTHON, "-m", "roost.embedded.front", str(blueprint.state.sockets), rest, grpc),
        probe=probes.listens(rest),
        address=f"REST {rest}, gRPC {grpc}",
        ports={name: addresses.ports[name] for name in ("front-rest", "front-grpc")},
    )


def _services(blueprint: Blueprint) -> Iterator[Part]:
    addresses = blueprint.addresses
    after = ("migrations", "broker", "topics", "object-store")
    for name, words in (
        ("deployer", ("deployer",)),
        ("signup-consumer", ("consume", "signups")),
        ("model-consumer", ("consume", "models")),
    ):
        yield Part(
            name=name,
            command=(_PYTHON, "-m", "roost", *words),
            after=after,
            environment={"ROOST_HEALTH_PORT": str(addresses.ports[name])},
            probe=probes.http_ok(f"{addresses.url(name)}/readyz"),
            address=addresses.url(name),
            ports={name: addresses.ports[name]},
        )
    yield Part(
        name="console",
        command=(_PYTHON, "-m", "roost", "console"),
        after=("migrations",),
        probe=probes.http_ok(f"{addresses.url('console')}/readyz"),
        address=addresses.url("console"),
        ports={"console": addresses.ports["console"]},
    )
    yield Part(
        name="restart-timer",
        command=(
            *(_PYTHON, "-m", "roost", "restart", "--pool", blueprint.outside.serving.pool),
            *("--every", str(_RESTART_EVERY)),
        ),
        after=("migrations", "object-store"),
    )


def _externals(blueprint: Blueprint) -> Iterator[External]:
    outside = blueprint.outside
    if blueprint.external("database"):
        url = outside.database.url.get_secret_value()
        yield External(name="database", address=probes.address_of(url), probe=probes.database(url))
    if blueprint.external("broker"):
        bootstrap = outside.kafka.bootstrap
        yield External(name="broker", address=bootstrap, probe=probes.listens(bootstrap))
    if blueprint.external("object-store"):
        endpoint = outside.storage.endpoint or "https://storage.googleapis.com"
        probe = probes.listens(probes.address_of(endpoint))
        yield External(name="object-store", address=f"{endpoint}, bucket {outside.storage.bucket}", probe=probe)
    if blueprint.external("airflow"):
        yield External(name="airflow", address=outside.airflow.url, probe=probes.airflow(outside.airflow.url))
    if blueprint.external("nodes"):
        file = outside.serving.directory_file
        if file is not None:
            yield External(name="nodes", address=str(file), probe=probes.exists(file, f"{file} is not there"))
