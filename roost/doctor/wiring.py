"""Puts the checks together: the one place where the doctor meets the adapters, imported only when they are asked."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Final

import httpx

from roost import policy_file
from roost.contracts.errors import SettingsInvalid, StorageUnavailable, WorkflowUnavailable
from roost.contracts.event_rights import Group
from roost.contracts.events import Topic
from roost.doctor import bucket, cluster, dependencies, event_rights, safety, token_keys, traces, versions
from roost.doctor.findings import Check, Finding, well, wrong
from roost.ports.clock import SystemClock
from roost.ports.event_bus import topics
from roost.ports.object_store import ObjectStore
from roost.settings import KafkaSettings, Settings

_GOOGLE: Final = "https://storage.googleapis.com"
_SECONDS: Final = 5.0
#: Checks that go with another: who does not need that one needs neither.
_PART_OF: Final = {"bucket": "storage", "kubernetes": "pools"}


def checks(settings: Settings, *, probe: bool, without: Sequence[str] = ()) -> Sequence[Check]:
    """All of them. With `probe` an object is written and deleted; settings of what `without` names are not judged."""
    pools = (settings.serving.pool, settings.serving.canary_pool)

    def store() -> ObjectStore:
        from roost.adapters.gcs import open_store

        # Somebody waits for the answer: a store that is away is found away in seconds.
        patient = settings.storage.model_copy(update={"deadline_seconds": _SECONDS})
        return open_store(patient)

    def nodes(pool: str) -> Callable[[], Sequence[Finding]]:
        return lambda: _nodes(settings, store(), pool)

    clock = SystemClock()
    endpoint = settings.storage.endpoint or _GOOGLE
    return (
        Check(about="settings", look=lambda: safety.settings_are_safe(settings, without), remedy=""),
        Check(about="policy", look=lambda: _policy(settings), remedy="`roost policy check FILE` names the line"),
        Check(
            about="database",
            look=lambda: _schema(settings),
            remedy="is PostgreSQL up, and is ROOST_DATABASE__URL right?",
        ),
        Check(
            about="kafka",
            look=lambda: _kafka(settings),
            remedy="is the broker up, and are ROOST_KAFKA__BOOTSTRAP, _SECURITY_PROTOCOL and _SASL_MECHANISM its own?",
        ),
        Check(
            about="storage",
            look=lambda: dependencies.storage(store(), pools, probe=probe, clock=clock),
            remedy="is ROOST_STORAGE__BUCKET in ROOST_STORAGE__PROJECT, and has this account a role on it?",
        ),
        Check(about="bucket", look=lambda: _bucket(settings), remedy="see the line on storage"),
        Check(
            about="clock",
            look=lambda: dependencies.clock_against("the object store", lambda: _date(endpoint), clock),
            remedy=f"without {endpoint} there is no clock to compare with",
        ),
        Check(
            about="airflow",
            look=lambda: _airflow(settings),
            remedy="docs/runbooks/airflow-down.md; are ROOST_AIRFLOW__URL, _USERNAME and _PASSWORD right?",
        ),
        Check(
            about="kubernetes",
            look=lambda: cluster.looked_at(settings.serving),
            remedy="docs/operations.md, where the cluster refuses",
        ),
        Check(
            about="tracing",
            look=lambda: traces.looked_at(settings.tracing, settings.state_dir),
            remedy="docs/observability.md, turning them on",
        ),
        *(
            (Check(about=token_keys.ABOUT, look=lambda: token_keys.looked_at(settings.gateway), remedy=""),)
            if token_keys.published(settings.gateway)
            else ()
        ),
        *(
            Check(about=f"pool {pool}", look=nodes(pool), remedy="docs/runbooks/node-behind.md")
            for pool in dict.fromkeys(pools)
        ),
    )


def chosen(every: Sequence[Check], without: Sequence[str]) -> Sequence[Check]:
    """Those that are not left out. ``pools`` leaves out every pool and the cluster, ``storage`` the bucket too.

    Raises:
        SettingsInvalid: there is no check of that name.
    """

    def name(check: Check) -> str:
        return "pools" if check.about.startswith("pool ") else _PART_OF.get(check.about, check.about)

    names = dict.fromkeys(name(check) for check in every)
    unknown = [one for one in without if one not in names]
    if unknown:
        raise SettingsInvalid(f"there is no check {unknown[0]}; there are {', '.join(names)}")
    return tuple(check for check in every if name(check) not in without)


def examine(found: Sequence[Check]) -> Sequence[Finding]:
    """All findings, in the order of the checks, which run side by side."""
    with ThreadPoolExecutor(len(found), thread_name_prefix="doctor") as threads:
        return [finding for one in threads.map(Check.run, found) for finding in one]


def _policy(settings: Settings) -> Sequence[Finding]:
    file = settings.deployer.policy_file
    policy_file.read(file)
    return (well("policy", f"{file} is valid" if file else "the default"),)


def _schema(settings: Settings) -> Sequence[Finding]:
    from roost.adapters.postgres import migrate

    found = dependencies.schema(migrate.current(settings.database), migrate.head())
    return (*found, *versions.version("database", migrate.server_version(settings.database)))


def _bucket(settings: Settings) -> Sequence[Finding]:
    from roost.adapters.gcs.bucket import described

    patient = settings.storage.model_copy(update={"deadline_seconds": _SECONDS})
    return bucket.looked_at(lambda: described(patient))


def _kafka(settings: Settings) -> Sequence[Finding]:
    from roost.adapters.kafka.described import described
    from roost.adapters.kafka.version import oldest_broker

    kafka = settings.kafka
    # Without a login and a certificate nobody is anybody, and there are no rights to look at.
    known = kafka.security_protocol.startswith("SASL") or kafka.ssl_certfile is not None
    found, visible = _rights(kafka) if known else ((), list(Topic))
    wanted = [
        spec for spec in topics(partitions=kafka.partitions, replication=kafka.replication) if spec.name in visible
    ]
    if not wanted:
        return found
    found = (*found, *versions.version("kafka", oldest_broker(kafka)))
    return (*found, *dependencies.topics(wanted, described(kafka, [spec.name for spec in wanted])))


def _rights(kafka: KafkaSettings) -> tuple[Sequence[Finding], Sequence[Topic]]:
    """What this client may and may not, and the topics that it sees."""
    from roost.adapters.kafka.allowed import account_of, allowed

    may = allowed(kafka, list(Topic), [group.value for group in Group])
    who = kafka.sasl_username if kafka.security_protocol.startswith("SASL") else "this client's certificate"
    found = event_rights.rights(who or "", account_of(kafka), may)
    return found, [topic for topic in Topic if may.topics.get(topic.value) != frozenset()]


def _nodes(settings: Settings, store: ObjectStore, pool: str) -> Sequence[Finding]:
    from roost.adapters.node_control import HttpNodeControl
    from roost.adapters.node_directory import open_directory

    control = HttpNodeControl(settings.serving.control_token)
    try:
        return dependencies.nodes(open_directory(settings.serving), control, store, pool)
    finally:
        control.close()


def _date(url: str) -> datetime:
    """What the server's clock says, halfway through the call. Raises `StorageUnavailable`."""
    began = time.monotonic()
    try:
        answer = httpx.get(url, timeout=_SECONDS)
    except httpx.HTTPError as error:
        raise StorageUnavailable(f"{url} does not answer: {error!r}") from error
    said = answer.headers.get("date")
    if said is None:
        raise StorageUnavailable(f"{url} answers without a Date header")
    return email.utils.parsedate_to_datetime(said) + timedelta(seconds=(time.monotonic() - began) / 2)


def _airflow(settings: Settings) -> Sequence[Finding]:
    from roost.adapters.airflow import open_workflow

    url = f"{settings.airflow.url.rstrip('/')}/api/v2/monitor/health"
    try:
        parts = httpx.get(url, timeout=_SECONDS).raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        raise WorkflowUnavailable(f"Airflow at {settings.airflow.url} does not say how it is: {error!r}") from error
    ill = [
        name
        for name in ("metadatabase", "scheduler", "dag_processor")
        if (parts.get(name) or {}).get("status") != "healthy"
    ]
    if ill:
        return (wrong("airflow", f"it answers, and is ill: {', '.join(ill)}", "docs/runbooks/airflow-down.md"),)
    found = versions.version("airflow", _airflow_version(settings))
    workflow = open_workflow(settings.airflow)
    try:
        # A run that there is not: asking for it takes the login and the right to look at runs.
        workflow.run("train_customer_model", "roost-doctor")
    finally:
        workflow.close()
    return (well("airflow", "it answers, its scheduler beats, and the login is good"), *found)


def _airflow_version(settings: Settings) -> str:
    """What Airflow says of itself, to anybody. Raises `WorkflowUnavailable`."""
    url = f"{settings.airflow.url.rstrip('/')}/api/v2/version"
    try:
        return str(httpx.get(url, timeout=_SECONDS).raise_for_status().json()["version"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise WorkflowUnavailable(f"Airflow at {settings.airflow.url} does not say its version: {error!r}") from error
