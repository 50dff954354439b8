"""How to tell that a part is ready. Each probe answers within about a second."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from roost.embedded.part import Probe

_SECONDS: Final = 1.5
#: One for all: making one takes longer than asking. Proxies of the environment are for other machines.
_HTTP: Final = httpx.Client(timeout=_SECONDS, trust_env=False)


def http_ok(url: str) -> Probe:
    """Ready once that address answers 200; a `/readyz` that says what is missing is quoted."""

    def probe() -> str | None:
        try:
            answer = _HTTP.get(url)
        except httpx.HTTPError as error:
            return f"{url} does not answer ({type(error).__name__})"
        return None if answer.status_code == httpx.codes.OK else _missing(answer)

    return probe


def listens(address: str) -> Probe:
    """Ready once somebody listens at ``host:port``; of several separated by commas one is enough."""

    def probe() -> str | None:
        for one in address.split(","):
            host, _, port = one.strip().rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS).close()
            except (OSError, ValueError):
                continue
            return None
        return f"nobody listens at {address}"

    return probe


def exists(marker: Path, meaning: str) -> Probe:
    """Ready once that file is there."""
    return lambda: None if marker.exists() else meaning


def both(first: Probe, second: Probe) -> Probe:
    """Ready once both are; the first that is not says why."""
    return lambda: first() or second()


def database(url: str) -> Probe:
    """Ready once PostgreSQL answers a query."""

    def probe() -> str | None:
        import psycopg

        try:
            with psycopg.connect(url, connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error as error:
            return f"PostgreSQL does not answer: {str(error).splitlines()[-1].strip()}"
        return None

    return probe


def airflow(url: str, *components: str) -> Probe:
    """Ready once the API answers and each named component has a fresh heartbeat: an open port alone says nothing."""

    def probe() -> str | None:
        try:
            answer = _HTTP.get(f"{url}/api/v2/monitor/health")
            health: dict[str, dict[str, str | None]] = answer.raise_for_status().json()
        except (httpx.HTTPError, json.JSONDecodeError) as error:
            return f"{url} does not answer ({type(error).__name__})"
        for name in components:
            status = health.get(name, {}).get("status")
            if status != "healthy":
                return f"{name} has no fresh heartbeat ({status})"
        return None

    return probe


def address_of(url: str) -> str:
    """``host:port`` of a URL, for `listens`."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 5432)
    return f"{parts.hostname}:{port}"


def _missing(answer: httpx.Response) -> str:
    try:
        parts: dict[str, str | None] = answer.json()["parts"]
    except (ValueError, KeyError, TypeError):
        return f"answers {answer.status_code}"
    wrong = "; ".join(f"{name}: {text}" for name, text in parts.items() if text)
    return wrong or f"answers {answer.status_code}"
