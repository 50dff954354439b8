"""A pod's volumes as folders of this machine: empty ones, config maps, secrets, the projected account token."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cluster.agent.api import Api
from tests.cluster.agent.environment import NotYet, field

Object = dict[str, Any]


class Reader:
    """Reads config maps and secrets for one pod, as the node."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    async def values(self, kind: str, name: str) -> dict[str, bytes] | None:
        """All keys; None where there is no such object."""
        plural = {"ConfigMap": "configmaps", "Secret": "secrets"}[kind]
        found = await self._api.get(f"/api/v1/namespaces/{self._namespace}/{plural}/{name}")
        if found is None:
            return None
        if kind == "Secret":
            return {key: base64.b64decode(value) for key, value in found.get("data", {}).items()}
        plain = {key: value.encode() for key, value in found.get("data", {}).items()}
        return plain | {key: base64.b64decode(value) for key, value in found.get("binaryData", {}).items()}

    async def token(self, pod: Object, audience: str | None, seconds: int) -> bytes:
        """A token of the pod's service account, bound to the pod."""
        metadata = pod["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        spec = {"expirationSeconds": seconds, "boundObjectRef": bound, "audiences": [audience] if audience else []}
        account = pod["spec"].get("serviceAccountName", "default")
        path = f"/api/v1/namespaces/{self._namespace}/serviceaccounts/{account}/token"
        document = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return str((await self._api.post(path, document))["status"]["token"]).encode()


async def fill(volume: Object, into: Path, pod: Object, reader: Reader, address: str) -> None:
    """Make one volume below `into`.

    Raises:
        NotYet: a source that is not optional is missing.
    """
    if "emptyDir" in volume:
        _make_empty(into, pod)
        return
    if "projected" in volume:
        sources, mode = volume["projected"]["sources"], volume["projected"].get("defaultMode", 0o644)
    else:
        source = _as_source(volume)
        sources, mode = [source], next(iter(source.values())).get("defaultMode", 0o644)
    files: dict[str, bytes] = {}
    for source in sources:
        files |= await _files(source, pod, reader, address)
    _write(into, files, mode, pod)


def _make_empty(into: Path, pod: Object) -> None:
    into.mkdir(parents=True, exist_ok=True)
    os.chown(into, 0, pod["spec"].get("securityContext", {}).get("fsGroup", 0))
    into.chmod(0o2777)


def _write(into: Path, files: Mapping[str, bytes], mode: int, pod: Object) -> None:
    context = pod["spec"].get("securityContext", {})
    into.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = into / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        # As the kubelet does: a pod whose containers have one user reads its files by it, or by its group.
        os.chown(path, context.get("runAsUser", 0), context.get("fsGroup", 0))


def _as_source(volume: Object) -> Object:
    kind = next((kind for kind in ("secret", "configMap", "downwardAPI") if kind in volume), None)
    if kind is None:
        raise NotYet(f"volume {volume['name']} is of a kind that this agent has not: {sorted(volume)}")
    found = dict(volume[kind])
    if kind == "secret":
        found["name"] = found["secretName"]
    return {kind: found}


async def _files(source: Object, pod: Object, reader: Reader, address: str) -> Mapping[str, bytes]:
    if "serviceAccountToken" in source:
        ask = source["serviceAccountToken"]
        token = await reader.token(pod, ask.get("audience"), ask.get("expirationSeconds", 3600))
        return {ask["path"]: token}
    if "downwardAPI" in source:
        items = source["downwardAPI"].get("items", ())
        return {item["path"]: field(pod, item["fieldRef"]["fieldPath"], address).encode() for item in items}
    kind, named = ("Secret", source["secret"]) if "secret" in source else ("ConfigMap", source["configMap"])
    values = await reader.values(kind, named["name"])
    if values is None:
        if named.get("optional"):
            return {}
        raise NotYet(f'{kind.lower()} "{named["name"]}" not found')
    items = named.get("items")
    return {item["path"]: values[item["key"]] for item in items} if items else values
