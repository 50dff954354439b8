"""docs/install-kubernetes.md: its commands, as they stand there, on the real API server.

They run in a copy of the manifests whose namespace is another one and whose pods name no scheduler: no machine runs
them. The test says of each pod that it is well, the real controllers do the rest. What is not run is listed, with why.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.cluster.by_hand import SCHEDULER, tell
from tests.cluster.control_plane import Cluster
from tests.cluster.world import World
from tests.documented import commands as documented

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

PAGE: Final = Path("docs/install-kubernetes.md")
NAMESPACE: Final = "roost-by-the-page"
#: Beginnings of commands that are not run here, and why.
ELSEWHERE: Final = {
    "make manifests": "tests/integration/manifests renders every overlay by it",
    "kubectl -n roost exec": "no container runs here: the last test asks the pods of the whole overlay",
    "kubectl -n roost logs": "no container runs here",
    "helm": "there is neither helm nor the chart; tests/integration/manifests holds the values against what was looked up",
}
_PROGRAMS: Final = ("kubectl", "make", "helm", "roost")
_SPARES_SCHEDULER: Final = [{"op": "add", "path": "/spec/template/spec/schedulerName", "value": SCHEDULER}]
_OF_CRON_JOBS: Final = [{"op": "add", "path": "/spec/jobTemplate/spec/template/spec/schedulerName", "value": SCHEDULER}]


def commands() -> list[str]:
    """Every command of the page, in its order."""
    return [re.sub(r" +", " ", line) for line in documented(PAGE) if line.split()[0] in _PROGRAMS]


def elsewhere(command: str) -> bool:
    return command.startswith(tuple(ELSEWHERE))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifests with a namespace of the test's own, and what the reader is told to have at hand."""
    directory = tmp_path_factory.mktemp("page")
    shutil.copytree("manifests", directory / "manifests")
    for file in directory.rglob("*.yaml"):
        file.write_text(re.sub(r"(namespace|name): roost(?=[,}\s])", rf"\1: {NAMESPACE}", file.read_text()))
    overlay = directory / "manifests" / "overlays" / "gcp" / "kustomization.yaml"
    document = yaml.safe_load(overlay.read_text())
    for kinds, patch in (("Deployment|Job", _SPARES_SCHEDULER), ("CronJob", _OF_CRON_JOBS)):
        document["patches"].append({"target": {"kind": kinds}, "patch": yaml.safe_dump(patch)})
    overlay.write_text(yaml.safe_dump(document))
    for name in ("jwks.json", "tls.crt", "tls.key", "ca.crt"):
        (directory / name).write_text("{}")
    return directory


@contextmanager
def every_pod_well(api: client.ApiClient) -> Iterator[None]:
    """Pods of Deployments are ready as soon as they are there, those of Jobs have ended well."""
    core, stop = client.CoreV1Api(api), threading.Event()

    def look() -> None:
        while not stop.wait(0.3):
            for pod in core.list_namespaced_pod(NAMESPACE).items:
                phase = "Succeeded" if "job-name" in pod.metadata.labels else "Running"
                if pod.status.phase == "Pending":
                    try:
                        tell(core, NAMESPACE, pod.metadata.name, address="192.0.2.1", phase=phase)
                    except ApiException as error:
                        # Gone, or changed, between two calls.
                        if error.status not in {404, 409}:
                            raise

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


def test_the_page_has_commands_and_each_is_run_or_listed_with_why_not() -> None:
    found = commands()
    assert len(found) > 15
    unlisted = [one for one in found if not elsewhere(one) and not one.startswith("kubectl ")]
    assert unlisted == []
    assert [start for start in ELSEWHERE if not any(one.startswith(start) for one in found)] == []


def test_every_command_of_the_page_does_what_it_says(cluster: Cluster, copy: Path) -> None:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "KUBECONFIG": str(cluster.kubeconfig),
        "DATABASE_URL": "postgresql://roost:secret@database.example.com:5432/roost?sslmode=verify-full",
        "AIRFLOW_PASSWORD": "secret",
        "PREDICT_TOKEN": "secret",
    }
    with cluster.client() as admin, every_pod_well(admin):
        for command in commands():
            if elsewhere(command):
                continue
            done = subprocess.run(
                ["bash", "-c", command.replace("-n roost ", f"-n {NAMESPACE} ")],
                cwd=copy,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=600,
            )
            assert done.returncode == 0, f"{command}: {done.stderr}"
        deployments = client.AppsV1Api(admin).list_namespaced_deployment(NAMESPACE).items
        assert len(deployments) == 6
        assert all(one.status.available_replicas == one.spec.replicas for one in deployments)
        secrets = {one.metadata.name for one in client.CoreV1Api(admin).list_namespaced_secret(NAMESPACE).items}
        assert len(secrets) == 7
        job = client.BatchV1Api(admin).read_namespaced_job("restart-by-hand", NAMESPACE)
        assert job.spec.template.spec.service_account_name == "roost-restart"
        assert job.spec.active_deadline_seconds == 7200
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.mark.usefixtures("bystander")
def test_the_doctor_finds_every_dependency_well_from_inside_each_pod_as_the_page_calls_it(world: World) -> None:
    """What is not safe in the overlay `local` (public secrets, no TLS) it says, too: that is its finding on settings."""
    called = [match.groups() for one in commands() if (match := re.match(r"kubectl .* exec deploy/(\S+) -- (.*)", one))]
    assert {name for name, _ in called} == {one["metadata"]["name"] for one in world.get("deployments")["items"]}

    def look(deployment: str, words: str) -> None:
        # A busy machine answers late: what is away for good is away at the end, too.
        world.until(f"all is well: {words} in {deployment}", partial(_all_well, world, deployment, words), 240)

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda one: look(*one), called))


def _all_well(world: World, deployment: str, words: str) -> bool:
    found = world.get("deployment", deployment)["spec"]
    labels = found["selector"]["matchLabels"]
    pod = min(world.pods(labels["app.kubernetes.io/name"], labels.get("roost/pool")))
    container = found["template"]["spec"]["containers"][0]["name"]
    done = world.node.exec(pod, container, *shlex.split(words), "--json", seconds=420)
    said = json.loads(done.stdout or "[]")
    ill = [one for one in said if one["about"] != "settings" and one["level"] != "well"]
    # Told where the wait ends in vain.
    print(ill or done.stderr)
    return bool(said) and not ill
