"""The Kubernetes adapter against a server that answers as an API server does: lists of pods, and each kind of refusal.

The bodies are those of Kubernetes 1.34. The real API server comes with `make test-cluster`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from kubernetes import client

from deployer.restart.main import RestartOptions, run
from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.kubernetes import Cluster, KubernetesDirectory, KubernetesWorkload, open_cluster
from roost.adapters.node_directory import open_directory
from roost.adapters.postgres import open_ledger
from roost.contracts.acks import NodeState
from roost.contracts.errors import ClusterRefused, ClusterUnavailable, NodeUnavailable, SettingsInvalid
from roost.settings import DatabaseSettings, ServingSettings, Settings
from tests.parts import free_port, gcs_server

pytestmark = pytest.mark.integration

DEPLOYMENT = "/apis/apps/v1/namespaces/roost/deployments/roost-pool-default"
PODS = "/api/v1/namespaces/roost/pods"


class ApiServer:
    """Answers what it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {}
        self.asked: list[tuple[str, str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                path = self.path.partition("?")[0]
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                outer.asked.append((self.command, self.path, json.loads(body) if body else None))
                code, document = outer.answers[self.command, path]
                content = json.dumps(document).encode()
                self.send_response(code)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PATCH = _answer  # noqa: N815 (the names that http.server calls)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def refuse(self, path: str, code: int, reason: str, message: str, method: str = "GET") -> None:
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code}
        self.answers[method, path] = (code, {**status, "reason": reason, "message": message})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def running() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.close()


@pytest.fixture
def server(running: ApiServer) -> ApiServer:
    running.answers.clear()
    running.asked.clear()
    return running


def cluster(url: str) -> Cluster:
    configuration = client.Configuration(host=url)
    configuration.retries = False
    return Cluster(api=client.ApiClient(configuration), namespace="roost", host=url, deadlines=(0.5, 0.5))


def pod(name: str, address: str | None = "10.0.0.1", *, phase: str = "Running", **metadata: str) -> dict[str, Any]:
    ports = [
        {"name": door, "containerPort": port} for door, port in (("control", 8502), ("rest", 8501), ("grpc", 8500))
    ]
    return {
        "metadata": {"name": name, **metadata},
        "spec": {"containers": [{"name": "node", "image": "i", "ports": ports}]},
        "status": {"phase": phase, "podIP": address},
    }


def pods(*items: dict[str, Any]) -> tuple[int, Any]:
    return 200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": list(items)}


def deployment(*, updated: int, conditions: list[dict[str, str]] | None = None, observed: int = 7) -> tuple[int, Any]:
    status = {"observedGeneration": observed, "replicas": 3, "readyReplicas": 3, "availableReplicas": 3}
    spec = {
        "replicas": 3,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "node"}]}},
    }
    return 200, {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "roost-pool-default", "generation": 7},
        "spec": spec,
        "status": {**status, "updatedReplicas": updated, "conditions": conditions or []},
    }


def container(name: str, state: dict[str, Any], last: dict[str, Any] | None = None) -> dict[str, Any]:
    about = {"name": name, "image": "i", "imageID": "i", "restartCount": 1, "ready": False}
    return {**about, "state": state, "lastState": last or {}}


def ended(name: str, code: int, message: str | None) -> dict[str, Any]:
    return container(name, {"terminated": {"exitCode": code, "reason": "Error", "message": message}})


def waits(reason: str, message: str | None = None) -> dict[str, Any]:
    return container("node", {"waiting": {"reason": reason, "message": message}})


def again(reason: str, before: str) -> dict[str, Any]:
    last = {"terminated": {"exitCode": 1, "reason": "Error", "message": before}}
    return container("node", {"waiting": {"reason": reason}}, last)


class TestDirectory:
    def test_a_pools_nodes_are_its_pods_by_label_and_their_ports_by_name(self, server: ApiServer) -> None:
        server.answers["GET", PODS] = pods(pod("b", "10.0.0.2"), pod("a", "fd00::1"))
        found = KubernetesDirectory(cluster(server.url), ManualClock()).nodes("default")
        assert [(one.node, one.control, one.rest, one.grpc) for one in found] == [
            ("a", "[fd00::1]:8502", "[fd00::1]:8501", "[fd00::1]:8500"),
            ("b", "10.0.0.2:8502", "10.0.0.2:8501", "10.0.0.2:8500"),
        ]
        assert unquote(server.asked[0][1]).endswith("labelSelector=roost/pool=default")

    def test_who_is_not_there_yet_or_on_the_way_out_or_has_no_doors_is_no_node(self, server: ApiServer) -> None:
        closed = pod("closed")
        closed["spec"]["containers"][0]["ports"] = []
        leaving = pod("leaving", deletionTimestamp="2026-01-01T00:00:00Z")
        server.answers["GET", PODS] = pods(pod("new", None), leaving, pod("over", phase="Failed"), closed, pod("here"))
        found = KubernetesDirectory(cluster(server.url), ManualClock()).nodes("default")
        assert [one.node for one in found] == ["here"]

    def test_an_answer_stands_for_a_moment_and_for_minutes_while_the_api_server_is_away(
        self, server: ApiServer
    ) -> None:
        clock = ManualClock()
        directory = KubernetesDirectory(cluster(server.url), clock)
        server.answers["GET", PODS] = pods(pod("a"))
        assert len(directory.nodes("default")) == len(directory.nodes("default")) == 1
        assert len(server.asked) == 1
        server.refuse(PODS, 503, "ServiceUnavailable", "the server is currently unable to handle the request")
        clock.advance(60)
        assert [one.node for one in directory.nodes("default")] == ["a"]
        clock.advance(600)
        with pytest.raises(NodeUnavailable, match="currently unable"):
            directory.nodes("default")

    def test_a_forbidden_list_names_the_verb_the_account_and_the_remedy_at_once(self, server: ApiServer) -> None:
        said = 'pods is forbidden: User "system:serviceaccount:roost:roost-deployer" cannot list resource "pods"'
        server.refuse(PODS, 403, "Forbidden", said)
        with pytest.raises(NodeUnavailable) as raised:
            KubernetesDirectory(cluster(server.url), ManualClock()).nodes("default")
        for part in ("cannot list pods in namespace roost", "roost-deployer", "manifests/base/rights.yaml"):
            assert part in str(raised.value)


class TestWorkload:
    def test_a_restart_changes_the_template_and_nothing_else(self, server: ApiServer) -> None:
        server.answers["PATCH", DEPLOYMENT] = deployment(updated=3)
        KubernetesWorkload(cluster(server.url)).restart("default", order="one")
        (asked,) = server.asked
        annotations = {"roost/restart-order": "one"}
        assert asked[2] == {"spec": {"template": {"metadata": {"annotations": annotations}}}}

    def test_it_is_done_only_once_the_controller_has_seen_the_template(self, server: ApiServer) -> None:
        workload = KubernetesWorkload(cluster(server.url))
        server.answers["GET", DEPLOYMENT] = deployment(updated=3, observed=6)
        assert (workload.status("default").updated, workload.status("default").done) == (0, False)
        server.answers["GET", DEPLOYMENT] = deployment(updated=3)
        assert workload.status("default").done

    def test_a_deployment_that_never_gets_ready_says_so_and_where_to_look(self, server: ApiServer) -> None:
        said = 'ReplicaSet "roost-pool-default-5d" has timed out progressing.'
        condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": said}
        server.answers["GET", DEPLOYMENT] = deployment(updated=1, conditions=[condition])
        server.refuse(PODS, 403, "Forbidden", 'cannot list resource "pods"')
        stuck = KubernetesWorkload(cluster(server.url)).status("default").stuck or ""
        assert stuck.startswith(said)
        assert "kubectl describe deployment roost-pool-default" in stuck
        # Not now is another thing: whoever asks again is told why.
        server.refuse(PODS, 503, "ServiceUnavailable", "etcd is slow")
        with pytest.raises(ClusterUnavailable, match="etcd is slow"):
            KubernetesWorkload(cluster(server.url)).status("default")

    @pytest.mark.parametrize(
        ("status", "cause"),
        [
            (
                {
                    "initContainerStatuses": [
                        ended("sync", 78, '{"level": "INFO"}\n{"message": "MANIFEST.json is gone"}')
                    ]
                },
                "pod new, container sync: MANIFEST.json is gone; ",
            ),
            (
                {"initContainerStatuses": [ended("sync", 1, "Traceback:\nOSError: no space")]},
                "pod new, container sync: OSError: no space; ",
            ),
            (
                {"initContainerStatuses": [ended("sync", 137, None)], "containerStatuses": [waits("PodInitializing")]},
                "pod new, container sync: Error, exit code 137; ",
            ),
            (
                {
                    "initContainerStatuses": [ended("sync", 0, "")],
                    "containerStatuses": [again("CrashLoopBackOff", "boom")],
                },
                "pod new, container node: boom; ",
            ),
            (
                {"containerStatuses": [waits("ImagePullBackOff", "image not found")]},
                "pod new, container node: ImagePullBackOff: image not found; ",
            ),
            ({"containerStatuses": [waits("CreateContainerError")]}, "pod new, container node: CreateContainerError; "),
            (
                {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]},
                "pod new: 0/3 nodes are available; ",
            ),
            ({"containerStatuses": [waits("PodInitializing")]}, ""),
            ({"containerStatuses": [{**again("CrashLoopBackOff", "boom"), "ready": True}]}, ""),
        ],
    )
    def test_what_keeps_a_new_pod_from_getting_ready_is_said_first(
        self, server: ApiServer, status: dict[str, Any], cause: str
    ) -> None:
        """A restart that was given up said only that it had taken too long."""
        condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"}
        server.answers["GET", DEPLOYMENT] = deployment(updated=1, conditions=[condition])
        well, new = pod("a"), pod("new")
        gone = pod("gone", deletionTimestamp="2026-11-22T00:00:00Z")
        new["status"] |= status
        gone["status"] |= {"containerStatuses": [waits("ImagePullBackOff")]}
        server.answers["GET", PODS] = pods(gone, well, new)
        stuck = KubernetesWorkload(cluster(server.url)).status("default").stuck or ""
        assert stuck.startswith(f"{cause}late (ProgressDeadlineExceeded)")

    @pytest.mark.parametrize(
        ("code", "reason", "message", "named"),
        [
            (400, "BadRequest", "Bad Request", "with https"),
            (401, "Unauthorized", "Unauthorized", "the token is expired"),
            (403, "Forbidden", 'cannot patch resource "deployments"', "manifests/base/rights.yaml"),
            (404, "NotFound", 'namespaces "roost" not found', "ROOST_SERVING__NAMESPACE"),
            (422, "Invalid", "selector: field is immutable", "apply today's"),
        ],
    )
    def test_what_will_not_heal_by_itself_is_refused_with_its_remedy(
        self, server: ApiServer, code: int, reason: str, message: str, named: str
    ) -> None:
        server.refuse(DEPLOYMENT, code, reason, message, method="PATCH")
        with pytest.raises(ClusterRefused) as raised:
            KubernetesWorkload(cluster(server.url)).restart("default", order="one")
        for part in ("patch deployment roost-pool-default", "namespace roost", message, named):
            assert part in str(raised.value)

    @pytest.mark.parametrize("code", [429, 500, 503])
    def test_what_heals_by_itself_is_tried_again(self, server: ApiServer, code: int) -> None:
        server.refuse(DEPLOYMENT, code, "TooManyRequests", "wait")
        with pytest.raises(ClusterUnavailable, match="wait"):
            KubernetesWorkload(cluster(server.url)).status("default")


def test_an_api_server_that_is_not_there_is_named_with_its_address() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ClusterUnavailable, match="is not reached") as raised:
        KubernetesWorkload(cluster(url)).status("default")
    assert url in str(raised.value)


def test_a_scheduled_restart_rolls_the_deployment_and_tells_what_happened(
    server: ApiServer, database_settings: DatabaseSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`roost restart` as the CronJob starts it: real ledger, real object store; API server and node are played."""
    host = server.url.removeprefix("http://")
    context = {"cluster": "c", "user": "u"}
    kubeconfig = {
        "clusters": [{"name": "c", "cluster": {"server": server.url}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": context}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    node = pod("roost-pool-default-a", "127.0.0.1")
    for door in node["spec"]["containers"][0]["ports"]:
        door["containerPort"] = int(host.partition(":")[2])
    leaking = NodeState(
        node="roost-pool-default-a",
        pool="default",
        generation=0,
        settled=True,
        converged=True,
        ready=True,
        rest_address=host,
        grpc_address=host,
        leaked_bytes=4 * 2**30,
    )
    server.answers["GET", PODS] = pods(node)
    server.answers["GET", "/state"] = (200, leaking.model_dump(mode="json"))
    server.answers["PATCH", DEPLOYMENT] = server.answers["GET", DEPLOYMENT] = deployment(updated=3)
    with gcs_server(tmp_path) as storage:
        serving = ServingSettings(namespace="roost")
        settings = Settings(database=database_settings, storage=storage, serving=serving)
        run(settings, RestartOptions(pool="default", reason="scheduled"), threading.Event())

    assert [method for method, path, _ in server.asked if path.startswith(DEPLOYMENT)] == ["GET", "PATCH", "GET"]
    with closing(open_ledger(database_settings, ManualClock())) as ledger:
        told = [row.event.data.what for row in ledger.recent_events(limit=9)]
    assert told == ["restart.started", "restart.finished"]


class TestWhichCluster:
    @pytest.fixture(autouse=True)
    def _nowhere(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))

    def test_without_a_file_and_without_a_cluster_both_ways_are_named(self) -> None:
        with pytest.raises(SettingsInvalid, match=r"ROOST_SERVING__DIRECTORY_FILE.*ROOST_SERVING__NAMESPACE"):
            open_directory(ServingSettings())

    def test_a_kubeconfig_that_is_not_there_is_named(self) -> None:
        with pytest.raises(SettingsInvalid, match="KUBECONFIG"):
            open_cluster(ServingSettings(namespace="roost"))

    def test_a_pod_without_a_token_is_told_what_gives_it_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
        with pytest.raises(SettingsInvalid, match="automountServiceAccountToken"):
            open_cluster(ServingSettings())
