"""What a stack chose once and keeps: its id, its ports, its secrets."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from roost.contracts.errors import SettingsInvalid
from roost.embedded import ports
from roost.embedded.state_dir import StateDir, write_private

SERVING_NODES: Final = ("node-1", "node-2", "node-3")
CANARY_NODE: Final = "canary-1"
NODES: Final = (*SERVING_NODES, CANARY_NODE)

#: Every port of the stack, by the name that ``--port NAME=NUMBER`` takes.
PORTS: Final = (
    "broker",
    "broker-controller",
    "object-store",
    "airflow",
    "airflow-logs",
    "airflow-triggers",
    "console",
    "front-rest",
    "front-grpc",
    "deployer",
    "signup-consumer",
    "model-consumer",
    *(f"{node}-{purpose}" for node in NODES for purpose in ("control", "rest", "grpc")),
)


class Secrets(BaseModel):
    """Made at random for this stack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    control_token: str
    airflow_password: str
    airflow_key: str


class Addresses(BaseModel):
    """The content of ``stack.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: In the environment of every process of the stack, by which left-over ones are found.
    id: str
    ports: dict[str, int]
    #: Names of ports that somebody asked for; the others may move when they are taken.
    fixed: frozenset[str] = frozenset()
    secrets: Secrets

    def at(self, port: str) -> str:
        """``host:port`` of that name."""
        return f"{ports.HOST}:{self.ports[port]}"

    def url(self, port: str) -> str:
        """``http://host:port`` of that name."""
        return f"http://{self.at(port)}"


def load(state: StateDir) -> Addresses | None:
    """What was chosen before, None in a new state directory.

    Raises:
        SettingsInvalid: the file was altered or is of another release.
    """
    try:
        return Addresses.model_validate_json(state.stack.read_text())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise SettingsInvalid(f"{state.stack} cannot be used: remove {state.root} to begin anew ({error})") from error


def choose(known: Addresses | None, wanted: Mapping[str, int]) -> Addresses:
    """Keep what is known, put the wanted ports above it (0 frees one again), and choose what is missing.

    Raises:
        SettingsInvalid: a wanted port has an unknown name, or one number is given twice.
    """
    unknown = sorted(set(wanted) - set(PORTS))
    if unknown:
        raise SettingsInvalid(f"no port is called {unknown[0]}; there are {', '.join(PORTS)}")
    before = known or Addresses(id=uuid.uuid4().hex, ports={}, fixed=frozenset(), secrets=_secrets())
    fixed = {name: before.ports[name] for name in before.fixed} | dict(wanted)
    fixed = {name: number for name, number in fixed.items() if number}
    twice = sorted(name for name, number in fixed.items() if list(fixed.values()).count(number) > 1)
    if twice:
        raise SettingsInvalid(f"{' and '.join(twice)} have the same port {fixed[twice[0]]}: choose two")
    kept = {
        name: number
        for name, number in before.ports.items()
        if name in PORTS and name not in wanted and number not in fixed.values()
    } | fixed
    missing = [name for name in PORTS if name not in kept]
    return before.model_copy(
        update={"ports": kept | ports.choose(missing, avoid=set(kept.values())), "fixed": frozenset(fixed)}
    )


def move_aside(addresses: Addresses) -> Addresses:
    """The same, with another port wherever somebody took one that was not fixed."""
    taken = {name for name, port in addresses.ports.items() if name not in addresses.fixed and not ports.is_free(port)}
    others = ports.choose(sorted(taken), avoid=set(addresses.ports.values()))
    return addresses.model_copy(update={"ports": addresses.ports | others})


def save(state: StateDir, addresses: Addresses) -> None:
    """Write ``stack.json``."""
    write_private(state.stack, addresses.model_dump_json(indent=1) + "\n")


def _secrets() -> Secrets:
    return Secrets(
        control_token=secrets.token_urlsafe(24),
        airflow_password=secrets.token_urlsafe(12),
        airflow_key=secrets.token_hex(32),
    )
