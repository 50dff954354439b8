"""What stands beside the official chart: its values, the training pod, the settings of training, Airflow's rights."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from importlib.metadata import files
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from roost.settings import Settings
from tests.documented import commands
from tests.integration.manifests.test_overlays import KUBERNETES, of, rendered
from tests.unit.docker.test_dockerfiles import PINNED
from tests.unit.manifests.known import variables

pytestmark = pytest.mark.integration

AIRFLOW: Final = Path("manifests/airflow")
PAGE: Final = Path("docs/install-kubernetes.md")
#: Looked up one by one in chart/values.yaml of apache/airflow at d6ba4817 (its default is Airflow 3.1.3: between charts 1.18 and
#: 1.19). What charts 1.20 and 1.21 have moved lies below `workers`, which is not set. Below `config` goes any section of airflow.cfg.
CHART_KEYS: Final = frozenset(
    {
        *("airflowVersion", "defaultAirflowTag", "executor", "multiNamespaceMode"),
        *("images.airflow.repository", "images.airflow.tag", "images.airflow.pullPolicy"),
        *("dags.persistence.enabled", "dags.gitSync.enabled", "postgresql.enabled", "data.metadataSecretName"),
        *("fernetKeySecretName", "apiSecretKeySecretName", "jwtSecretName", "createUserJob.enabled"),
        *("apiServer.replicas", "apiServer.extraVolumes", "apiServer.extraVolumeMounts", "apiServer.resources"),
        "apiServer.extraInitContainers",
        *("scheduler.replicas", "scheduler.resources", "dagProcessor.enabled", "dagProcessor.resources"),
        *("triggerer.enabled", "statsd.enabled", "securityContexts.pod", "securityContexts.containers"),
    }
)
#: Options of the section that comes with Airflow's provider for Kubernetes, of the version below: read in its get_provider_info().
PROVIDER: Final = "10.25.0"
PROVIDER_OPTIONS: Final = frozenset({"namespace", "delete_worker_pods", "delete_worker_pods_on_failure"})
_WHOLE: Final = {"resources", "extraInitContainers", "extraVolumes", "extraVolumeMounts", "pod", "containers"}


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
    named += [volume["secret"]["secretName"] for volume in values["apiServer"]["extraVolumes"] if "secret" in volume]
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


@pytest.fixture(scope="module")
def release() -> dict[str, str]:
    """The helm command of the installation page, by its words."""
    (command,) = [one for one in commands(PAGE) if one.startswith("helm upgrade")]
    words = shlex.split(command)
    name, chart = words[3:5]
    options = dict(pairwise(words[5:]))
    return {
        "name": name,
        "chart": chart,
        **{option: options[option] for option in ("--version", "-n", "-f", "--set-file")},
    }


def test_the_page_installs_the_chart_of_the_values_with_the_files_that_there_are(release: dict[str, str]) -> None:
    assert release["chart"] == "apache-airflow/airflow"
    assert f"version {release['--version']}," in (AIRFLOW / "values.yaml").read_text()
    assert Path(release["-f"]) == AIRFLOW / "values.yaml"
    value, _, file = release["--set-file"].partition("=")
    assert value == "podTemplate"
    assert Path(file) == AIRFLOW / "pod-template.yaml"
    # The chart renders it as a template of its own.
    assert "{{" not in Path(file).read_text()


def test_accounts_and_addresses_are_those_that_the_chart_makes_of_that_release(release: dict[str, str]) -> None:
    """By its rule: the release's name, and the component's after it."""
    name, namespace = release["name"], release["-n"]
    subjects = [
        subject
        for one in yaml.safe_load_all((AIRFLOW / "rights.yaml").read_text())
        for subject in one.get("subjects", ())
    ]
    assert {one["namespace"] for one in subjects} == {namespace}
    assert {one["name"] for one in subjects} == {f"{name}-scheduler", f"{name}-api-server"}
    server = f"http://{name}-api-server.{namespace}.svc:8080"
    assert training_environment()["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == f"{server}/execution/"
    maps = of(rendered("gcp"), "ConfigMap")
    (settings,) = [one for one in maps if one["metadata"]["name"].startswith("roost-settings")]
    assert settings["data"]["ROOST_AIRFLOW__URL"] == server


def training_environment() -> dict[str, str]:
    pod = yaml.safe_load((AIRFLOW / "pod-template.yaml").read_text())
    return {entry["name"]: entry.get("value", "") for entry in pod["spec"]["containers"][0]["env"]}


def test_training_runs_as_the_account_and_in_the_namespace_of_the_manifests(values: dict[str, Any]) -> None:
    pod = yaml.safe_load((AIRFLOW / "pod-template.yaml").read_text())
    accounts = {one["metadata"]["name"] for one in of(rendered("gcp"), "ServiceAccount")}
    assert pod["spec"]["serviceAccountName"] in accounts
    (namespace,) = of(rendered("gcp"), "Namespace")
    assert values["config"]["kubernetes_executor"]["namespace"] == namespace["metadata"]["name"]


def test_every_option_of_airflow_is_one_that_the_installed_airflow_has(values: dict[str, Any]) -> None:
    """Sections of Airflow itself by its own list, which is read without importing it."""
    listed = next(file for file in files("apache-airflow-core") or () if str(file).endswith("templates/config.yml"))
    known = yaml.safe_load(Path(str(listed.locate())).read_text())
    given = {(section, option) for section, options in values["config"].items() for option in options}
    given |= {
        (section.lower(), option.lower())
        for name in training_environment()
        if name.startswith("AIRFLOW__")
        for section, option in [name.removeprefix("AIRFLOW__").split("__")]
    }
    ours = {(section, option) for section, option in given if section != "kubernetes_executor"}
    assert len(ours) > 5
    assert {(section, option) for section, option in ours if option not in known[section]["options"]} == set()
    assert {option for section, option in given if section == "kubernetes_executor"} == PROVIDER_OPTIONS
    pinned = Path("docker/airflow-kubernetes.txt").read_text()
    assert f"apache-airflow-providers-cncf-kubernetes=={PROVIDER}\n" in pinned


def test_the_file_of_passwords_can_be_written_and_comes_from_the_secret(values: dict[str, Any]) -> None:
    """A mounted secret is read only, and the auth manager opens the file for writing at each start and each login."""
    server, file = values["apiServer"], Path(values["config"]["core"]["simple_auth_manager_passwords_file"])
    volumes = {volume["name"]: volume for volume in server["extraVolumes"]}
    (mount,) = [one for one in server["extraVolumeMounts"] if Path(one["mountPath"]) == file.parent]
    assert "emptyDir" in volumes[mount["name"]]
    assert not mount.get("readOnly")
    (step,) = server["extraInitContainers"]
    places = {Path(one["mountPath"]): volumes[one["name"]] for one in step["volumeMounts"]}
    *_, source, target = step["command"]
    assert Path(target) == file
    assert places[file.parent] == volumes[mount["name"]]
    assert "secret" in places[Path(source).parent]
    image = values["images"]["airflow"]
    assert step["image"] == f"{image['repository']}:{image['tag']}"
    user = values["config"]["core"]["simple_auth_manager_users"].partition(":")[0]
    assert f"create secret generic roost-airflow --from-literal=username={user} " in PAGE.read_text()
