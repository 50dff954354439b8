"""A container's environment and command, as the kubelet makes them. Pure, given what config maps and secrets hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.cluster import network

Object = dict[str, Any]
#: (``ConfigMap`` or ``Secret``, name) to its values; None where there is none of that name.
Sources = Mapping[tuple[str, str], Mapping[str, str] | None]

_REFERENCE: Final = re.compile(r"\$(\$|\(([-._a-zA-Z][-._a-zA-Z0-9]*)\))")


class NotYet(Exception):
    """Something that the pod needs is not there. The kubelet says so, waits and looks again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the environment is made of."""

    pod: Object
    address: str
    sources: Sources
    services: tuple[Object, ...]


def made(container: Object, image: Mapping[str, str], facts: Facts) -> dict[str, str]:
    """Later wins: the image's, services, envFrom, env.

    Raises:
        NotYet: a config map, a secret or a key that is not optional is missing.
    """
    env = {"HOSTNAME": str(facts.pod["metadata"]["name"]), "HOME": "/", **image, **_service_links(facts.services)}
    for one in container.get("envFrom", ()):
        kind, reference = ("ConfigMap", one["configMapRef"]) if "configMapRef" in one else ("Secret", one["secretRef"])
        values = facts.sources[kind, reference["name"]]
        if values is None and not reference.get("optional"):
            raise NotYet(f'{kind.lower()} "{reference["name"]}" not found')
        env |= {one.get("prefix", "") + key: value for key, value in (values or {}).items()}
    for one in container.get("env", ()):
        value = _value(one, facts) if "valueFrom" in one else expanded(one.get("value", ""), env)
        if value is not None:
            env[one["name"]] = value
    return env


def expanded(text: str, env: Mapping[str, str]) -> str:
    """``$(NAME)`` replaced where the name is known; ``$$`` is a dollar."""
    return _REFERENCE.sub(lambda found: "$" if found[1] == "$" else env.get(found[2], found[0]), text)


def field(pod: Object, path: str, address: str) -> str:
    """A field of the downward API."""
    label = re.fullmatch(r"metadata\.(labels|annotations)\['([^']+)'\]", path)
    if label:
        return str(pod["metadata"].get(label[1], {}).get(label[2], ""))
    known = {"status.podIP": address, "status.hostIP": network.HOST, "spec.nodeName": pod["spec"].get("nodeName", "")}
    known |= {f"metadata.{name}": pod["metadata"][name] for name in ("name", "namespace", "uid")}
    known["spec.serviceAccountName"] = pod["spec"].get("serviceAccountName", "default")
    return str(known[path])


def wanted(container: Object) -> set[tuple[str, str]]:
    """The (kind, name) of every source that the container names."""
    found = set()
    for one in container.get("envFrom", ()):
        found |= {("ConfigMap", one["configMapRef"]["name"])} if "configMapRef" in one else set()
        found |= {("Secret", one["secretRef"]["name"])} if "secretRef" in one else set()
    for one in container.get("env", ()):
        source = one.get("valueFrom", {})
        found |= {("ConfigMap", source["configMapKeyRef"]["name"])} if "configMapKeyRef" in source else set()
        found |= {("Secret", source["secretKeyRef"]["name"])} if "secretKeyRef" in source else set()
    return found


def _value(entry: Object, facts: Facts) -> str | None:
    source = entry["valueFrom"]
    if "fieldRef" in source:
        return field(facts.pod, source["fieldRef"]["fieldPath"], facts.address)
    kind, reference = (
        ("Secret", source["secretKeyRef"]) if "secretKeyRef" in source else ("ConfigMap", source["configMapKeyRef"])
    )
    value = (facts.sources[kind, reference["name"]] or {}).get(reference["key"])
    if value is None and not reference.get("optional"):
        raise NotYet(f'{kind.lower()} "{reference["name"]}" has no key {reference["key"]}')
    return value


def names(services: tuple[Object, ...]) -> str:
    """Lines for /etc/hosts by which a pod finds the services of its namespace."""
    found = ((one["spec"].get("clusterIP"), one["metadata"]) for one in services)
    return "".join(
        f"{address} {one['name']} {one['name']}.{one['namespace']}.svc\n"
        for address, one in found
        if address and address != "None"
    )


def _service_links(services: tuple[Object, ...]) -> dict[str, str]:
    """What every container is told of the services of its namespace, and of the API server."""
    env: dict[str, str] = {}
    for service in services:
        address, name = service["spec"].get("clusterIP"), service["metadata"]["name"].upper().replace("-", "_")
        if not address or address == "None":
            continue
        ports = service["spec"]["ports"]
        env |= {f"{name}_SERVICE_HOST": address, f"{name}_SERVICE_PORT": str(ports[0]["port"])}
        for port in ports:
            if "name" in port:
                env[f"{name}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
            protocol = port.get("protocol", "TCP")
            url = f"{protocol.lower()}://{address}:{port['port']}"
            prefix = f"{name}_PORT_{port['port']}_{protocol}"
            env.setdefault(f"{name}_PORT", url)
            env |= {prefix: url, f"{prefix}_PROTO": protocol.lower(), f"{prefix}_PORT": str(port["port"])}
            env[f"{prefix}_ADDR"] = address
    return env
