"""Every overlay, rendered and held against the schemas of Kubernetes and our own rules. What needs an API server: `make test-cluster`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deployer.restart.main import POD_SECONDS
from roost.settings import GatewaySettings, Settings
from serving.gateway.binary import BESIDE, command
from tests.unit.docker.test_dockerfiles import PINNED
from tests.unit.manifests.known import complaint, variables

pytestmark = pytest.mark.integration

MANIFESTS = Path("manifests")
OVERLAYS = sorted(path.name for path in (MANIFESTS / "overlays").iterdir())
#: The version that the tests' control plane has, and the schemas are of.
KUBERNETES = "1.34"
KUBECTL = Path(sys.executable).with_name("kubectl")
WORKLOADS = {"Deployment", "Job", "CronJob"}

Object = dict[str, Any]


@cache
def rendered(overlay: str) -> tuple[Object, ...]:
    done = subprocess.run(
        [KUBECTL, "kustomize", str(MANIFESTS / "overlays" / overlay)], capture_output=True, text=True, check=True
    )
    return tuple(yaml.safe_load_all(done.stdout))


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> tuple[Object, ...]:
    return rendered(request.param)


def of(objects: tuple[Object, ...], *kinds: str) -> list[Object]:
    return [one for one in objects if one["kind"] in kinds]


def template(workload: Object) -> Object:
    spec = workload["spec"]["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else workload["spec"]
    found: Object = spec["template"]
    return found


def pods(objects: tuple[Object, ...]) -> list[tuple[str, Object]]:
    return [(one["metadata"]["name"], template(one)["spec"]) for one in of(objects, *WORKLOADS)]


def containers(objects: tuple[Object, ...]) -> Iterator[tuple[str, Object]]:
    for name, pod in pods(objects):
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            yield f"{name}/{container['name']}", container


def literal(objects: tuple[Object, ...], container: Object) -> dict[str, str]:
    """The variables that the container gets as they stand in the manifest."""
    maps = {one["metadata"]["name"]: one.get("data", {}) for one in of(objects, "ConfigMap")}
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= maps[source["configMapRef"]["name"]]
    return found | {entry["name"]: entry.get("value", "") for entry in container.get("env", ())}


def test_every_object_fits_the_schemas_of_kubernetes(objects: tuple[Object, ...]) -> None:
    for one in objects:
        kubernetes_validate.validate(one, KUBERNETES, strict=True)


def test_every_image_is_pinned(objects: tuple[Object, ...]) -> None:
    for where, container in containers(objects):
        image = container["image"].replace("PROJECT", "p").replace("REGION", "r")
        assert PINNED.match(image), (where, image)


def test_every_container_may_do_nothing_that_it_need_not(objects: tuple[Object, ...]) -> None:
    for name, pod in pods(objects):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
    for where, container in containers(objects):
        wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert container["securityContext"] == wanted, where


def test_every_container_says_what_it_takes(objects: tuple[Object, ...]) -> None:
    for where, container in containers(objects):
        resources = container["resources"]
        assert {"cpu", "memory"} <= resources["requests"].keys(), where
        assert "memory" in resources["limits"], where


def test_every_process_that_stays_is_probed(objects: tuple[Object, ...]) -> None:
    for deployment in of(objects, "Deployment"):
        for container in template(deployment)["spec"]["containers"]:
            ports = {port["name"] for port in container["ports"]}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert container[probe]["httpGet"]["port"] in ports, (deployment["metadata"]["name"], probe)
            assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
            assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_every_setting_exists_and_takes_its_value(objects: tuple[Object, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for where, container in containers(objects):
        given = literal(objects, container)
        assert {name for name in given if name.startswith("ROOST_")} - variables() == set(), where
        with monkeypatch.context() as patch:
            for name, value in given.items():
                if name.startswith("ROOST_") and value:
                    patch.setenv(name, value)
            Settings()


def test_every_command_exists_with_its_options(objects: tuple[Object, ...]) -> None:
    for where, container in containers(objects):
        if where.endswith("/gateway"):
            continue
        program, *words = container["command"]
        assert program == "roost", where
        assert complaint(words) is None, where


def test_every_secret_is_one_that_the_installation_page_lists_or_the_overlay_makes(objects: tuple[Object, ...]) -> None:
    page = Path("docs/install-kubernetes.md").read_text()
    made = {one["metadata"]["name"] for one in of(objects, "Secret", "ConfigMap")}
    for name, pod in pods(objects):
        named = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
        named |= {volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            sources = [entry["valueFrom"] for entry in container.get("env", ()) if "valueFrom" in entry]
            named |= {source["secretKeyRef"]["name"] for source in sources if "secretKeyRef" in source}
        assert [one for one in named - made if f"`{one}`" not in page] == [], name


def test_rights_name_what_they_are_for_and_nobody_else_has_a_token(objects: tuple[Object, ...]) -> None:
    assert not of(objects, "ClusterRole", "ClusterRoleBinding")
    rules = [rule for role in of(objects, "Role") for rule in role["rules"]]
    assert all("*" not in rule[part] for rule in rules for part in ("apiGroups", "resources", "verbs"))
    assert all(rule["resourceNames"] for rule in rules if set(rule["verbs"]) - {"get", "list"})
    trusted = {one["name"] for binding in of(objects, "RoleBinding") for one in binding["subjects"]}
    accounts = {one["metadata"]["name"]: one for one in of(objects, "ServiceAccount")}
    assert not any(account["automountServiceAccountToken"] for account in accounts.values())
    for name, pod in pods(objects):
        assert pod["serviceAccountName"] in accounts, name
        assert pod["automountServiceAccountToken"] == (pod["serviceAccountName"] in trusted), name


def test_only_the_restart_may_change_anything_and_only_the_pools(objects: tuple[Object, ...]) -> None:
    changing = {
        role["metadata"]["name"]: rule["resourceNames"]
        for role in of(objects, "Role")
        for rule in role["rules"]
        if set(rule["verbs"]) - {"get", "list"}
    }
    pools = [one["metadata"]["name"] for one in of(objects, "Deployment") if "roost/pool" in one["metadata"]["labels"]]
    assert changing == {"roost-restart-pools": sorted(pools, reverse=True)}
    bound = [one for one in of(objects, "RoleBinding") if one["roleRef"]["name"] in changing]
    assert [[subject["name"] for subject in one["subjects"]] for one in bound] == [["roost-restart"]]


def test_every_pool_is_restarted_on_a_schedule_that_ends(objects: tuple[Object, ...]) -> None:
    pools = {
        one["metadata"]["labels"]["roost/pool"]
        for one in of(objects, "Deployment")
        if "roost/pool" in one["metadata"]["labels"]
    }
    found = {}
    for one in of(objects, "CronJob"):
        spec = one["spec"]
        (container,) = template(one)["spec"]["containers"]
        command = container["command"]
        found[command[command.index("--pool") + 1]] = spec["schedule"]
        assert spec["concurrencyPolicy"] == "Forbid"
        # Longer than the restart gives one pod, so that it is the restart that says what is in the way.
        assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] > POD_SECONDS
        assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert found.keys() == pools
    assert len(set(found.values())) == len(found), "two pools at a time"


def test_a_pool_holds_its_capacity_syncs_first_and_drains_last(objects: tuple[Object, ...]) -> None:
    deployments = [one for one in of(objects, "Deployment") if "roost/pool" in one["metadata"]["labels"]]
    assert len(deployments) == 2
    for deployment in deployments:
        pool = deployment["metadata"]["labels"]["roost/pool"]
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        pod = template(deployment)["spec"]
        assert pod["initContainers"][0]["command"][-1] == "--sync-only"
        (node,) = pod["containers"]
        assert f"--pool={pool}" in node["command"]
        assert "/drain" in node["lifecycle"]["preStop"]["exec"]["command"][-1]
        assert {port["name"] for port in node["ports"]} == {"control", "rest", "grpc"}
        assert pod["terminationGracePeriodSeconds"] > 60
    (budget,) = [one for one in of(objects, "PodDisruptionBudget") if one["metadata"]["name"] == "roost-pool-default"]
    assert budget["spec"]["maxUnavailable"] == 1


def test_every_pools_gateway_is_the_official_image_beside_the_node(objects: tuple[Object, ...]) -> None:
    deployments = [one for one in of(objects, "Deployment") if "roost/pool" in one["metadata"]["labels"]]
    for deployment in deployments:
        pod = template(deployment)["spec"]
        sync, gateway = pod["initContainers"]
        (node,) = pod["containers"]
        assert gateway["image"].startswith("envoyproxy/envoy:v")
        assert (sync["name"], gateway["restartPolicy"]) == ("sync", "Always")
        # The same command line as that of a gateway that is the node's child, once its file is there.
        shell, file, *options = gateway["command"][2:]
        assert 'until [ -e "$0" ]' in shell
        assert 'exec envoy -c "$0" "$@"' in shell
        assert command(Path("envoy"), Path(file)) == ["envoy", "-c", file, *options]
        assert literal(objects, node)["ROOST_SERVING__ENVOY"] == BESIDE
        # The two see the same files: configuration and sockets, certificates and keys.
        theirs = {(one["name"], one["mountPath"]) for one in gateway["volumeMounts"]}
        shared = {one for one in theirs if one[0] != "tmp"}
        assert shared <= {(one["name"], one["mountPath"]) for one in node["volumeMounts"]}
        given = literal(objects, node)
        for name in ("ROOST_GATEWAY__TLS_CERT_FILE", "ROOST_GATEWAY__JWKS_FILE"):
            if given.get(name):
                assert any(given[name].startswith(f"{place}/") for _, place in theirs), name
        # It turns requests away before it is killed.
        limit = gateway["resources"]["limits"]["memory"]
        assert limit.endswith("Mi")
        assert int(limit.removesuffix("Mi")) > GatewaySettings().max_memory_mb


def allowed(objects: tuple[Object, ...], labels: dict[str, str], direction: str) -> set[str]:
    """Names of the policies that let pods of these labels out (Egress) or others in (Ingress)."""
    return {
        policy["metadata"]["name"]
        for policy in of(objects, "NetworkPolicy")
        if direction in policy["spec"]["policyTypes"]
        and policy["spec"].get(direction.lower())
        and _selected(policy["spec"]["podSelector"], labels)
    }


def _selected(selector: Object, labels: dict[str, str]) -> bool:
    exact = all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())
    return exact and all(
        (labels.get(one["key"]) in one["values"]) == (one["operator"] == "In")
        for one in selector.get("matchExpressions", ())
    )


def test_the_canary_pool_reaches_storage_only_and_is_reached_by_the_deployer_only(objects: tuple[Object, ...]) -> None:
    canary = {"app.kubernetes.io/name": "roost-node", "roost/pool": "canary"}
    assert allowed(objects, canary, "Egress") == {"roost-names", "roost-storage"}
    steered = {"roost-nodes-are-steered", "roost-monitoring"}
    assert allowed(objects, canary, "Ingress") == steered | {"roost-copies-arrive"}
    serving = canary | {"roost/pool": "default"}
    assert allowed(objects, serving, "Ingress") == steered | {"roost-predictions"}
    assert allowed(objects, serving, "Egress") == {"roost-names", "roost-storage", "roost-copies"}
    (nothing,) = [one for one in of(objects, "NetworkPolicy") if one["metadata"]["name"] == "roost-nothing"]
    assert nothing["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_the_namespace_is_restricted(objects: tuple[Object, ...]) -> None:
    (namespace,) = of(objects, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert all(one["metadata"].get("namespace", "roost") == "roost" for one in objects)


def test_a_file_that_a_setting_names_is_mounted_and_renewed_where_it_is_read(objects: tuple[Object, ...]) -> None:
    """A secret mounted by subPath stays as it was when the pod started: certificates would run out."""
    readers = {
        "ROOST_GATEWAY__": ("roost-pool-default/", "roost-pool-canary/"),
        "ROOST_SERVING__PREDICT_": ("roost-pool-default/", "roost-pool-canary/", "roost-deployer/deployer"),
        "ROOST_CONSOLE__": ("roost-console/console",),
    }
    for where, container in containers(objects):
        mounts = {mount["mountPath"]: "subPath" in mount for mount in container.get("volumeMounts", ())}
        for name, value in literal(objects, container).items():
            read = any(name.startswith(prefix) and where.startswith(ones) for prefix, ones in readers.items())
            if read and name.endswith("_FILE"):
                assert mounts.get(str(Path(value).parent)) is False, (where, name)


def test_gateways_on_google_cloud_ask_for_tokens_over_tls_and_share_a_replica_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the local overlay leaves out, every other one has, down to who asks gateways from inside."""
    for overlay in (name for name in OVERLAYS if name != "local"):
        found = dict(containers(rendered(overlay)))
        with monkeypatch.context() as patch:
            for name, value in literal(rendered(overlay), found["roost-pool-default/node"]).items():
                patch.setenv(name, value)
            settings = Settings()
        gateway = settings.gateway
        assert gateway.tls_cert_file, overlay
        assert gateway.tls_key_file, overlay
        assert gateway.jwks_file, overlay
        assert gateway.customer_rate, overlay
        assert set(gateway.trusted_proxies) <= set(gateway.allow_cidrs)
        assert settings.serving.predict_ca_file == gateway.tls_cert_file.with_name("ca.crt")
        (authorities,) = [
            volume["secret"]["items"]
            for name, pod in pods(rendered(overlay))
            for volume in pod["volumes"]
            if name == "roost-deployer" and volume["name"] == "gateway-ca"
        ]
        # The deployer gets no key of the gateways.
        assert [one["key"] for one in authorities] == ["ca.crt"]


@pytest.mark.parametrize(
    ("overlay", "cpu", "image"),
    [("gcp", "1", "0.1.0"), ("gcp-cpu-8", "8", "0.1.0"), ("gcp-gpu", "4", "0.1.0-gpu")],
)
def test_a_profile_says_what_a_replica_has(overlay: str, cpu: str, image: str) -> None:
    found = dict(containers(rendered(overlay)))["roost-pool-default/node"]
    assert found["resources"]["requests"]["cpu"] == cpu
    assert found["image"].rpartition(":")[2] == image
    assert ("nvidia.com/gpu" in found["resources"]["limits"]) == (overlay == "gcp-gpu")


def manifests(overlay: str) -> subprocess.CompletedProcess[str]:
    """`make manifests`, which sets nothing up on the way."""
    return subprocess.run(
        ["make", "--silent", "--old-file=.venv/.ready", "manifests", f"OVERLAY={overlay}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@pytest.mark.parametrize("overlay", ["aws", "", "../gcp"])
def test_an_overlay_that_there_is_not_is_named_with_those_that_there_are(overlay: str) -> None:
    done = manifests(overlay)
    assert done.returncode == 2
    assert done.stdout == ""
    assert f'There is no overlay "{overlay}". There are: {" ".join(OVERLAYS)}.' in done.stderr


def test_an_overlay_is_rendered_and_what_is_to_be_filled_in_is_said() -> None:
    done = manifests("gcp")
    assert done.returncode == 0, done.stderr
    assert tuple(yaml.safe_load_all(done.stdout)) == rendered("gcp")
    assert "PROJECT and REGION stand there still" in done.stderr
    assert manifests("local").stderr == ""
