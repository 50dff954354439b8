"""What stands beside the official chart: its values, the training pod, the settings of training, Airflow's rights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from roost.settings import Settings
from tests.integration.manifests.test_overlays import KUBERNETES
from tests.unit.docker.test_dockerfiles import PINNED
from tests.unit.manifests.known import variables

pytestmark = pytest.mark.integration

AIRFLOW: Final = Path("manifests/airflow")
PAGE: Final = Path("docs/install-kubernetes.md")
#: Looked up by hand in the chart's own values.yaml (apache/airflow, after chart 1.18: `createUserJob.enabled` came with its pull
#: request 56057) and not since; neither helm nor the chart is here. Below `config` it takes any section of airflow.cfg.
CHART_KEYS: Final = frozenset(
    {
        *("airflowVersion", "defaultAirflowTag", "executor", "multiNamespaceMode"),
        *("images.airflow.repository", "images.airflow.tag", "images.airflow.pullPolicy"),
        *("dags.persistence.enabled", "dags.gitSync.enabled", "postgresql.enabled", "data.metadataSecretName"),
        *("fernetKeySecretName", "apiSecretKeySecretName", "jwtSecretName", "createUserJob.enabled"),
        *("apiServer.replicas", "apiServer.extraVolumes", "apiServer.extraVolumeMounts", "apiServer.resources"),
        *("scheduler.replicas", "scheduler.resources", "dagProcessor.enabled", "dagProcessor.resources"),
        *("triggerer.enabled", "statsd.enabled", "securityContexts.pod", "securityContexts.containers"),
    }
)
_WHOLE: Final = {"resources", "extraVolumes", "extraVolumeMounts", "pod", "containers"}


def keys(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict) and name not in _WHOLE:
            yield from keys(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


@pytest.fixture
def values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((AIRFLOW / "values.yaml").read_text())
    return found


def test_every_value_is_one_that_the_chart_has(values: dict[str, Any]) -> None:
    config = values.pop("config")
    assert set(keys(values)) == CHART_KEYS
    assert config.keys() == {"core", "kubernetes_executor"}


def test_the_version_is_the_one_that_the_image_installs(values: dict[str, Any]) -> None:
    locked = Path("requirements.lock").read_text()
    assert f"\napache-airflow=={values['airflowVersion']} " in locked
    assert values["defaultAirflowTag"] == values["airflowVersion"]
    pod = yaml.safe_load((AIRFLOW / "pod-template.yaml").read_text())
    image = values["images"]["airflow"]
    assert pod["spec"]["containers"][0]["image"] == f"{image['repository']}:{image['tag']}"


def test_every_secret_of_airflow_is_told_of_on_the_installation_page(values: dict[str, Any]) -> None:
    named = [name for key, name in values.items() if key.endswith("SecretName")]
    named += [values["data"]["metadataSecretName"]]
    named += [volume["secret"]["secretName"] for volume in values["apiServer"]["extraVolumes"]]
    assert len(named) == 5
    assert [name for name in named if f"`{name}`" not in PAGE.read_text()] == []


def test_the_training_pod_is_valid_and_unprivileged() -> None:
    pod = yaml.safe_load((AIRFLOW / "pod-template.yaml").read_text())
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    (base,) = pod["spec"]["containers"]
    assert base["name"] == "base"
    assert PINNED.match(base["image"])
    assert {entry["name"] for entry in base["env"] if entry["name"].startswith("ROOST_")} <= variables()


def test_the_settings_of_training_exist_and_take_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line for line in (AIRFLOW / "training.env").read_text().splitlines() if not line.startswith("#")]
    given = dict(line.split("=", 1) for line in lines)
    assert given.keys() <= variables()
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    Settings()
    (source,) = yaml.safe_load((AIRFLOW / "pod-template.yaml").read_text())["spec"]["containers"][0]["envFrom"]
    assert source["configMapRef"]["name"] in (AIRFLOW / "training.env").read_text()


def test_airflow_is_given_rights_in_one_namespace_only(values: dict[str, Any]) -> None:
    """The chart's own way (`multiNamespaceMode`) is a cluster role: pods, and with them secrets, of everybody."""
    assert values["multiNamespaceMode"] is False
    namespace = values["config"]["kubernetes_executor"]["namespace"]
    for one in yaml.safe_load_all((AIRFLOW / "rights.yaml").read_text()):
        kubernetes_validate.validate(one, KUBERNETES, strict=True)
        assert one["kind"] in {"Role", "RoleBinding"}
        assert one["metadata"]["namespace"] == namespace
