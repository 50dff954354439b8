"""Settings that work and are not safe. Pure. What only this machine reaches may be open."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Sequence
from typing import Final
from urllib.parse import parse_qs, urlsplit

from roost.doctor.findings import Finding, doubtful, or_well, wrong
from roost.settings import Settings

ABOUT: Final = "settings"
#: Characters below which a shared token can be guessed.
_TOKEN: Final = 16


def settings_are_safe(settings: Settings, without: Collection[str] = ()) -> Sequence[Finding]:
    """Everything that others on the network could read or use.

    `without` names checks that this process does not need: it has no secret for them, and nobody asks them with its
    settings.
    """
    return or_well(ABOUT, "nothing that others could read or use", _unsafe(settings, without))


def _unsafe(settings: Settings, without: Collection[str]) -> Iterator[Finding]:
    for part, unsafe in (("kafka", _kafka), ("database", _database), ("pools", _serving)):
        if part not in without:
            yield from unsafe(settings)
    yield from _web(settings, without)


def _kafka(settings: Settings) -> Iterator[Finding]:
    kafka = settings.kafka
    hosts = [address.strip().rpartition(":")[0] for address in kafka.bootstrap.split(",")]
    if all(is_local(host) for host in hosts):
        return
    if not kafka.security_protocol.endswith("SSL"):
        said = f"events to {kafka.bootstrap} are not encrypted ({kafka.security_protocol})"
        yield wrong(ABOUT, said, "set ROOST_KAFKA__SECURITY_PROTOCOL=SASL_SSL, and ROOST_KAFKA__SSL_CAFILE")
    if not kafka.security_protocol.startswith("SASL") and kafka.ssl_certfile is None:
        said = "Kafka does not know who asks, so its ACLs cannot say who may"
        yield wrong(ABOUT, said, "set ROOST_KAFKA__SASL_MECHANISM, _USERNAME and _PASSWORD, one principal a process")
    if kafka.replication < 3:
        said = f"topics would have {kafka.replication} replicas: a broker that is lost takes events with it"
        yield doubtful(ABOUT, said, "set ROOST_KAFKA__REPLICATION=3 and run `roost topics ensure`")


def _database(settings: Settings) -> Iterator[Finding]:
    url = urlsplit(settings.database.url.get_secret_value())
    if is_local(url.hostname or ""):
        return
    mode = parse_qs(url.query).get("sslmode", [""])[0]
    if mode not in {"verify-full", "verify-ca"}:
        said = f"the database's certificate at {url.hostname} is not verified (sslmode={mode or 'prefer'})"
        yield wrong(ABOUT, said, "add ?sslmode=verify-full (and sslrootcert) to ROOST_DATABASE__URL")


def _serving(settings: Settings) -> Iterator[Finding]:
    token = settings.serving.control_token
    secret = token.get_secret_value() if token else ""
    if settings.serving.directory_file is None and len(secret) < _TOKEN:
        said = "nodes in a cluster can be steered with " + ("a token that is easy to guess" if secret else "no token")
        yield wrong(ABOUT, said, "set ROOST_SERVING__CONTROL_TOKEN to 32 random bytes, from a secret")
    gateway = settings.gateway
    asks = gateway.jwks_file or gateway.jwks_url or gateway.issuers
    open_to = [one for one in gateway.allow_cidrs if not _only_here(one)]
    if open_to and not asks:
        said = f"whoever is in {', '.join(open_to)} may ask for predictions without a token"
        yield doubtful(ABOUT, said, "set ROOST_GATEWAY__JWKS_URL or _JWKS_FILE, or narrow ROOST_GATEWAY__ALLOW_CIDRS")


def _web(settings: Settings, without: Collection[str]) -> Iterator[Finding]:
    if not is_local(settings.console.host) and settings.console.jwks_file is None:
        said = "the console listens to others and has no keys: it will refuse everybody but this machine"
        yield wrong(ABOUT, said, "set ROOST_CONSOLE__JWKS_FILE")
    named = (
        ("airflow", "ROOST_AIRFLOW__URL", settings.airflow.url),
        ("console", "ROOST_CONSOLE__URL", settings.console.url),
        ("storage", "ROOST_STORAGE__ENDPOINT", settings.storage.endpoint or "https://storage.googleapis.com"),
        (
            "tracing",
            "ROOST_TRACING__ENDPOINT",
            settings.tracing.endpoint if settings.tracing.exporter == "otlp" else "",
        ),
    )
    for part, name, address in named:
        url = urlsplit(address)
        if part not in without and url.scheme == "http" and not is_local(url.hostname or ""):
            said = f"{name} is {address}: what passes there, tokens included, can be read on the way"
            yield doubtful(ABOUT, said, "use https, or keep it within a network that nobody else is in")


def is_local(host: str) -> bool:
    """Whether only this machine reaches that host: loopback, or a Unix socket's directory."""
    if host in {"", "localhost"} or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _only_here(network: str) -> bool:
    try:
        return ipaddress.ip_network(network, strict=False).is_loopback
    except ValueError:
        return False
