"""The manifests on the real API server: every overlay under restricted Pod Security, warnings counted as errors."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.cluster.accounts import OVERLAYS, install_rights, moved, rendered
from tests.cluster.control_plane import Cluster
from tests.integration.manifests.test_overlays import template

pytestmark = pytest.mark.cluster

POD_TEMPLATE = Path("manifests/airflow/pod-template.yaml")
#: Who shows the API server a token.
TRUSTED = {"roost-deployer", "roost-console", "roost-restart"}


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    """With the label that the manifests' own namespace has."""
    name = f"roost-{uuid.uuid4().hex[:8]}"
    install_rights(cluster, name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(params=sorted(path.name for path in OVERLAYS.iterdir()))
def overlay(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_the_api_server_takes_every_object_of_an_overlay_without_a_warning(
    cluster: Cluster, namespace: str, overlay: str
) -> None:
    documents = yaml.safe_dump_all([moved(one, namespace) for one in rendered(overlay)])
    said = cluster.kubectl(
        *("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--warnings-as-errors", "-f", "-"),
        stdin=documents,
    )
    assert len(said.splitlines()) == len(rendered(overlay))


def test_the_api_server_admits_the_pods_themselves_and_mounts_a_token_for_who_needs_one(
    cluster: Cluster, namespace: str, overlay: str
) -> None:
    """Pod Security refuses pods, and only warns of what makes them; so each template is asked about as a pod."""
    with cluster.client() as admin:
        core = client.CoreV1Api(admin)
        for one in rendered(overlay):
            if one["kind"] not in {"Deployment", "Job", "CronJob"}:
                continue
            metadata = {"name": one["metadata"]["name"], "labels": template(one)["metadata"]["labels"]}
            pod = core.create_namespaced_pod(
                namespace, {"metadata": metadata, "spec": template(one)["spec"]}, dry_run="All"
            )
            tokens = [volume for volume in pod.spec.volumes if volume.name.startswith("kube-api-access")]
            assert bool(tokens) == (pod.spec.service_account_name in TRUSTED), metadata["name"]


def test_the_training_pod_is_admitted_and_has_no_token(cluster: Cluster, namespace: str) -> None:
    document = yaml.safe_load(POD_TEMPLATE.read_text())
    with cluster.client() as admin:
        pod = client.CoreV1Api(admin).create_namespaced_pod(namespace, document, dry_run="All")
    assert not [volume.name for volume in pod.spec.volumes if volume.name.startswith("kube-api-access")]


def test_what_pod_security_refuses_is_refused_here_too(cluster: Cluster, namespace: str) -> None:
    """Else the cases above would say nothing."""
    document = yaml.safe_load(POD_TEMPLATE.read_text())
    document["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with cluster.client() as admin, pytest.raises(ApiException, match="allowPrivilegeEscalation != false"):
        client.CoreV1Api(admin).create_namespaced_pod(namespace, document, dry_run="All")


@pytest.mark.parametrize("kind", ["Deployment", "CronJob"])
def test_an_unknown_field_would_be_found(cluster: Cluster, namespace: str, kind: str) -> None:
    one = next(moved(one, namespace) for one in rendered("local") if one["kind"] == kind)
    template(one)["spec"]["tolerance"] = []
    said = cluster.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=yaml.dump(one), check=False)
    assert "tolerance" in said
