"""What the installation page has `roost doctor` say of an overlay's own settings, before anybody has a cluster."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from roost.doctor.findings import Finding, Level
from roost.doctor.safety import settings_are_safe
from roost.settings import Settings
from tests.documented import commands
from tests.integration.manifests.test_overlays import OVERLAYS, Object, containers, literal, rendered

pytestmark = pytest.mark.integration

PAGE: Final = Path("docs/install-kubernetes.md")
#: By secret and key, what somebody has who follows the page's table of secrets.
SECRETS: Final = {
    ("roost-database", "url"): "postgresql://u:p@db.example.com:5432/roost?sslmode=verify-full",
    ("roost-control", "token"): "t" * 32,
}
IN_THE_CLUSTER: Final = "ROOST_AIRFLOW__URL is http://airflow-api-server.airflow.svc:8080"


def called() -> dict[str, list[str]]:
    """By Deployment, the checks that the page has the doctor leave out there."""
    found = {}
    for command in commands(PAGE):
        if match := re.match(r"kubectl .* exec deploy/(\S+) -- roost doctor (.*)", command):
            words = shlex.split(match[2])
            assert words[::2] == ["--without"] * (len(words) // 2)
            found[match[1]] = words[1::2]
    return found


def secrets(container: Object) -> Mapping[str, str]:
    """The container's variables that come from secrets."""
    sources = {
        entry["name"]: entry["valueFrom"]["secretKeyRef"]
        for entry in container.get("env", ())
        if "secretKeyRef" in entry.get("valueFrom", {})
    }
    return {name: SECRETS.get((source["name"], source["key"]), "secret") for name, source in sources.items()}


def findings(overlay: str, deployment: str, without: list[str]) -> list[Finding]:
    objects = rendered(overlay)
    container = next(one for where, one in containers(objects) if where.startswith(f"{deployment}/") and "ports" in one)
    given = {**literal(objects, container), **secrets(container)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        return [one for one in settings_are_safe(Settings(), without) if one.level is not Level.WELL]


@pytest.mark.parametrize("overlay", [name for name in OVERLAYS if name != "local"])
def test_a_process_of_a_secured_overlay_is_told_of_nothing_unsafe_but_what_the_page_says(overlay: str) -> None:
    """A consumer was told that nodes could be steered without a token: it has none, since it steers nobody."""
    told = {name: findings(overlay, name, without) for name, without in called().items()}
    asks_airflow = {"roost-signup-consumer", "roost-console"}
    assert {name for name, found in told.items() if found} == asks_airflow
    for name in asks_airflow:
        (one,) = told[name]
        assert one.level is Level.DOUBTFUL
        assert IN_THE_CLUSTER in one.said


def test_what_is_public_in_the_local_overlay_is_called_so() -> None:
    said = "\n".join(one.said for one in findings("local", "roost-deployer", called()["roost-deployer"]))
    assert "events to kafka:9092 are not encrypted" in said
    assert "may ask for predictions without a token" in said


def test_every_process_that_stays_is_one_that_the_page_has_looked_at() -> None:
    deployments = {one["metadata"]["name"] for one in rendered("gcp") if one["kind"] == "Deployment"}
    assert called().keys() == deployments
