"""What one stack is made from: its addresses, and what the environment already gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from roost.embedded import airflow_home, postgres
from roost.embedded.addresses import NODES, SERVING_NODES, Addresses
from roost.embedded.state_dir import StateDir
from roost.settings import Bus, Settings

#: Where this distribution's packages stand; processes find `training`, `dags` and the others there.
SOURCE: Final = Path(__file__).resolve().parents[2]

#: Settings that say that somebody else runs the part.
_SAYS_EXTERNAL: Final = {
    "broker": ("ROOST_KAFKA__BOOTSTRAP",),
    "object-store": ("ROOST_STORAGE__ENDPOINT", "ROOST_STORAGE__BUCKET"),
    "database": ("ROOST_DATABASE__URL",),
    "airflow": ("ROOST_AIRFLOW__URL",),
    "nodes": ("ROOST_SERVING__DIRECTORY_FILE",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """Everything that decides which parts there are and how they are started."""

    state: StateDir
    addresses: Addresses
    #: As the environment and the user's own settings file give them; the stack's own addresses are not in it.
    outside: Settings
    #: Names of the settings that are given, such as ``ROOST_KAFKA__BOOTSTRAP``.
    given: frozenset[str]
    #: Which broker the stack runs, where it runs one.
    bus: Bus = "embedded"

    def external(self, role: str) -> bool:
        """Whether somebody else runs that role: broker, object-store, database, airflow or nodes."""
        return any(name in self.given for name in _SAYS_EXTERNAL[role])

    def settings_document(self) -> dict[str, object]:
        """The content of the stack's settings file: its own addresses, and above them whatever is given."""
        document = _nested(self._own())
        _overlay(document, _revealed(self.outside, self.given))
        document["state_dir"] = str(self.state.root)
        return document

    def node_list(self) -> dict[str, object]:
        """The content of the directory of nodes."""
        return {
            "nodes": [
                {
                    "node": node,
                    "pool": pool_of(node, self.outside),
                    "control": self.addresses.at(f"{node}-control"),
                    "rest": self.addresses.at(f"{node}-rest"),
                    "grpc": self.addresses.at(f"{node}-grpc"),
                }
                for node in NODES
            ]
        }

    def _own(self) -> dict[str, object]:
        at, url = self.addresses.at, self.addresses.url
        own: dict[str, object] = {
            "serving__control_token": self.addresses.secrets.control_token,
            "deployer__policy_file": str(self.state.policy),
            "console__port": self.addresses.ports["console"],
            "console__url": url("console"),
        }
        by_role: dict[str, dict[str, object]] = {
            "broker": {
                "kafka__bootstrap": at("broker"),
                # On one machine a killed consumer shall be missed soon; and the embedded broker lets a group form only
                # after a session's time.
                "kafka__session_timeout_ms": 6_000,
                "kafka__heartbeat_interval_ms": 1_000,
                # Asked for the end of a partition, the embedded broker counts a batch as one: every lag was too low.
                **({"kafka__batch_bytes": 0} if self.bus == "embedded" else {}),
            },
            "object-store": {"storage__endpoint": url("object-store")},
            "database": {"database__url": postgres.url(self.state.sockets, "roost")},
            "airflow": {
                "airflow__url": url("airflow"),
                "airflow__username": airflow_home.USER,
                "airflow__password": self.addresses.secrets.airflow_password,
            },
            "nodes": {
                "serving__directory_file": str(self.state.nodes),
                "serving__rest": at("front-rest"),
                "serving__grpc": at("front-grpc"),
            },
        }
        for role, settings in by_role.items():
            own |= {} if self.external(role) else settings
        return own


def pool_of(node: str, settings: Settings) -> str:
    """The pool that a node of the stack belongs to."""
    return settings.serving.pool if node in SERVING_NODES else settings.serving.canary_pool


def _nested(flat: Mapping[str, object]) -> dict[str, object]:
    document: dict[str, object] = {}
    for path, value in flat.items():
        section, _, name = path.rpartition("__")
        inner = document.setdefault(section, {}) if section else document
        if isinstance(inner, dict):
            inner[name] = value
    return document


def _overlay(below: dict[str, object], above: Mapping[str, object]) -> None:
    for key, value in above.items():
        inner = below.get(key)
        if isinstance(inner, dict) and isinstance(value, dict):
            _overlay(inner, value)
        else:
            below[key] = value


def _revealed(settings: Settings, given: frozenset[str]) -> dict[str, object]:
    """The given settings with their secrets: the file is for this user alone."""
    from pydantic import SecretStr

    flat: dict[str, object] = {}
    for section, value in settings:
        fields = dict(value) if hasattr(value, "model_fields_set") else {"": value}
        for name, inner in fields.items():
            path = f"{section}__{name}" if name else section
            if "ROOST_" + path.upper() in given:
                plain = inner.get_secret_value() if isinstance(inner, SecretStr) else inner
                flat[path] = [*map(str, plain)] if isinstance(plain, tuple) else _plain(plain)
    return _nested(flat)


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
