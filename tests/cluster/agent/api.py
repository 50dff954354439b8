"""The API server, asked with plain HTTP: what a kubelet and a scheduler need of it."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx

log = logging.getLogger(__name__)

Object = dict[str, Any]
_AGAIN_SECONDS: Final = 0.5


class Api:
    """One identity at the API server."""

    def __init__(self, url: str, ca_file: Path, token: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            verify=ssl.create_default_context(cafile=str(ca_file)),
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(15),
            trust_env=False,
        )

    async def get(self, path: str) -> Object | None:
        """An object; None where there is none."""
        answer = await self._client.get(path)
        return None if answer.status_code == httpx.codes.NOT_FOUND else _decoded(answer)

    async def post(self, path: str, document: Object) -> Object:
        """Make an object."""
        return _decoded(await self._client.post(path, json=document))

    async def delete(self, path: str, document: Object) -> None:
        """Remove an object; one that is gone, or is another one by now, is none of ours any more."""
        answer = await self._client.request("DELETE", path, json=document)
        if answer.status_code not in {httpx.codes.NOT_FOUND, httpx.codes.CONFLICT}:
            _decoded(answer)

    async def patch(self, path: str, document: Object) -> None:
        """Change parts of an object; one that is gone needs no change."""
        headers = {"Content-Type": "application/strategic-merge-patch+json"}
        answer = await self._client.patch(path, content=json.dumps(document), headers=headers)
        if answer.status_code != httpx.codes.NOT_FOUND:
            _decoded(answer)

    async def watch(self, path: str, selector: str) -> AsyncIterator[tuple[str, Object]]:
        """(ADDED, MODIFIED or DELETED; object), for ever: what is there, then every change. What vanished is DELETED."""
        known: dict[str, Object] = {}
        while True:
            try:
                listed = _decoded(await self._client.get(path, params={"fieldSelector": selector}))
                now = {item["metadata"]["uid"]: item for item in listed["items"]}
                for uid in known.keys() - now.keys():
                    yield "DELETED", known.pop(uid)
                for uid, item in now.items():
                    known[uid] = item
                    yield "MODIFIED", item
                async for kind, item in self._changes(path, selector, listed["metadata"]["resourceVersion"]):
                    known[item["metadata"]["uid"]] = item
                    if kind == "DELETED":
                        known.pop(item["metadata"]["uid"])
                    yield kind, item
            except (httpx.HTTPError, KeyError) as error:
                log.warning("watching %s begins anew: %s", path, error)
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _changes(self, path: str, selector: str, version: str) -> AsyncIterator[tuple[str, Object]]:
        query = {"fieldSelector": selector, "watch": "true", "resourceVersion": version, "timeoutSeconds": "600"}
        unlimited = httpx.Timeout(15, read=None)
        async with self._client.stream("GET", path, params=query, timeout=unlimited) as answer:
            async for line in answer.aiter_lines():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event["type"], event["object"]


def _decoded(answer: httpx.Response) -> Object:
    if answer.is_error:
        raise httpx.HTTPError(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:500]}")
    document: Object = answer.json()
    return document
