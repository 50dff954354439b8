"""What people give that cannot work: the command says which thing, and what to do, on the real API server."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import jwt
import pytest
import yaml
from kubernetes import client

from deployer.restart.main import RestartOptions, run
from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.postgres import open_ledger
from roost.contracts.errors import Permanent
from roost.doctor.findings import Finding, Level
from roost.doctor.wiring import checks, chosen, examine
from roost.process import EXIT_PERMANENT, EXIT_RETRY
from roost.settings import DatabaseSettings, ServingSettings, Settings, StorageSettings
from tests.cluster.accounts import install_rights
from tests.cluster.by_hand import PoolByHand
from tests.cluster.control_plane import Cluster
from tests.cluster.node_door import NodeDoor
from tests.parts import free_port, gcs_server

pytestmark = pytest.mark.cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A namespace with the manifests' accounts and rights, and the parts that a command of Roost needs beside it."""

    cluster: Cluster
    namespace: str
    storage: StorageSettings

    def settings(self, database: DatabaseSettings, namespace: str | None = None) -> Settings:
        serving = ServingSettings(namespace=namespace or self.namespace)
        return Settings(database=database, storage=self.storage, serving=serving)

    def roost(self, *words: str, kubeconfig: Path, database: DatabaseSettings) -> subprocess.CompletedProcess[str]:
        """Run the command as an operator does, with that kubeconfig."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ROOST_", "KUBE"))}
        ours = {
            "KUBECONFIG": str(kubeconfig),
            "ROOST_STATE_DIR": str(self.cluster.directory / "state"),
            "ROOST_SERVING__NAMESPACE": self.namespace,
            "ROOST_DATABASE__URL": database.url.get_secret_value(),
            "ROOST_STORAGE__ENDPOINT": str(self.storage.endpoint),
            "ROOST_STORAGE__BUCKET": self.storage.bucket,
            "ROOST_LOG_FORMAT": "text",
        }
        return subprocess.run(
            (sys.executable, "-m", "roost", *words),
            env=kept | ours,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )


@contextmanager
def in_use(kubeconfig: Path) -> Iterator[None]:
    """This process has that kubeconfig, as if KUBECONFIG had named it from its start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        patch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
        yield


@pytest.fixture(scope="module")
def place(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    namespace = f"roost-{uuid.uuid4().hex[:8]}"
    install_rights(cluster, namespace)
    with gcs_server(tmp_path_factory.mktemp("bad-input"), seconds=60) as storage:
        yield Place(cluster=cluster, namespace=namespace, storage=storage)
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


def restart(
    place: Place,
    kubeconfig: Path,
    database: DatabaseSettings,
    *,
    pool: str = "default",
    namespace: str | None = None,
) -> str:
    """What `roost restart` ends with."""
    options = RestartOptions(pool=pool, reason="by hand", always=True)
    with in_use(kubeconfig), pytest.raises(Permanent) as raised:
        run(place.settings(database, namespace), options, threading.Event())
    return str(raised.value)


def with_changes(kubeconfig: Path, **cluster_fields: str | None) -> Path:
    """A copy of a kubeconfig whose cluster entry differs."""
    document = yaml.safe_load(kubeconfig.read_text())
    entry = document["clusters"][0]["cluster"]
    for name, value in cluster_fields.items():
        entry.pop(name.replace("_", "-"), None)
        if value is not None:
            entry[name.replace("_", "-")] = value
    path = kubeconfig.with_name(f"{uuid.uuid4().hex}.kubeconfig")
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_cluster_that_is_not_there_is_named_by_its_address(place: Place, database_settings: DatabaseSettings) -> None:
    url = f"https://127.0.0.1:{free_port()}"
    away = with_changes(place.cluster.kubeconfig, server=url)
    done = place.roost("restart", "--pool", "default", kubeconfig=away, database=database_settings)
    # It may be there the next time.
    assert done.returncode == EXIT_RETRY, done.stderr
    assert "Traceback" not in done.stderr
    for part in ("get deployment roost-pool-default", url, "is not reached", "is it up", "NetworkPolicy"):
        assert part in done.stderr


def test_a_cluster_whose_certificate_is_not_trusted_is_told_apart(
    place: Place, database_settings: DatabaseSettings
) -> None:
    stranger = with_changes(place.cluster.kubeconfig, certificate_authority=None)
    said = restart(place, stranger, database_settings)
    for part in (place.cluster.url, "is not trusted", "CERTIFICATE_VERIFY_FAILED", "certificate-authority"):
        assert part in said


def test_an_expired_token_is_said_to_be_one(place: Place, database_settings: DatabaseSettings) -> None:
    """Signed by the cluster's own key, and a minute too old."""
    fresh = place.cluster.token_of("roost-restart", place.namespace)
    claims = jwt.decode(fresh, options={"verify_signature": False})
    ended = int(time.time()) - 60
    key = (place.cluster.directory / "accounts.key").read_bytes()
    headers = {"kid": jwt.get_unverified_header(fresh)["kid"]}
    old = jwt.encode({**claims, "iat": ended - 600, "nbf": ended - 600, "exp": ended}, key, "RS256", headers)
    said = restart(place, place.cluster.kubeconfig_of("roost-restart", place.namespace, token=old), database_settings)
    for part in ("answered 401", "the token is expired", "log in again"):
        assert part in said


def test_a_forbidden_verb_is_named_with_who_asked_and_where_rights_come_from(
    place: Place, database_settings: DatabaseSettings
) -> None:
    said = restart(place, place.cluster.kubeconfig_of("roost-console", place.namespace), database_settings)
    who = f"system:serviceaccount:{place.namespace}:roost-console"
    for part in ("answered 403", who, 'cannot get resource "deployments"', "manifests/base/rights.yaml"):
        assert part in said


def test_a_namespace_that_does_not_exist_is_named_with_the_setting(
    place: Place, database_settings: DatabaseSettings
) -> None:
    said = restart(place, place.cluster.kubeconfig, database_settings, namespace="nowhere")
    for part in ("in namespace nowhere", "answered 404", "roost-pool-default", "ROOST_SERVING__NAMESPACE"):
        assert part in said
    account = place.cluster.kubeconfig_of("roost-restart", place.namespace)
    said = restart(place, account, database_settings, namespace="nowhere")
    for part in ("in namespace nowhere", "answered 403", "ROOST_SERVING__NAMESPACE"):
        assert part in said


def test_an_unknown_pool_is_named_and_nothing_is_said_to_be_well(
    place: Place, database_settings: DatabaseSettings
) -> None:
    said = restart(place, place.cluster.kubeconfig, database_settings, pool="nowhere")
    for part in ("Pool nowhere cannot be rolled", "roost-pool-nowhere", "not found"):
        assert part in said
    account = place.cluster.kubeconfig_of("roost-restart", place.namespace)
    said = restart(place, account, database_settings, pool="nowhere")
    for part in ("Pool nowhere cannot be rolled", "roost-pool-nowhere", "answered 403", "is there such a pool"):
        assert part in said


def test_a_deployment_that_never_gets_ready_ends_the_restart_and_the_old_pods_go_on(
    place: Place, database_settings: DatabaseSettings
) -> None:
    with place.cluster.client() as admin, closing(NodeDoor("default")) as door:
        pool = PoolByHand(admin, place.namespace)
        pool.create(address="127.0.0.1", doors=door.ports)
        # Seconds here, a quarter of an hour in the manifests; nobody calls the new pod ready.
        pool.deadline(10)
        account = place.cluster.kubeconfig_of("roost-restart", place.namespace)
        done = place.roost("restart", "--always", kubeconfig=account, database=database_settings)
        assert done.returncode == EXIT_PERMANENT, done.stderr
        for part in ("its old pods go on serving", "1 of 3 pods are new, 3 ready", "has timed out progressing"):
            assert part in done.stderr
        assert "kubectl describe deployment roost-pool-default" in done.stderr
        found = client.AppsV1Api(admin).read_namespaced_deployment("roost-pool-default", place.namespace)
        assert (found.status.available_replicas, found.status.updated_replicas) == (3, 1)
    with closing(open_ledger(database_settings, ManualClock())) as ledger:
        told = [(row.event.data.what, row.event.data.reason) for row in ledger.recent_events(limit=9)]
    assert [what for what, _ in told] == ["restart.started", "restart.refused"]
    assert "has timed out progressing" in told[-1][1]


class TestTheDoctor:
    """It says the same of the pools, and goes on with what else there is."""

    WITHOUT = ("kafka", "airflow", "database", "clock")

    def pools(
        self, place: Place, kubeconfig: Path, database: DatabaseSettings, namespace: str | None = None
    ) -> list[Finding]:
        with in_use(kubeconfig):
            found = examine(chosen(checks(place.settings(database, namespace), probe=False), self.WITHOUT))
        assert {one.level for one in found if one.about == "storage"} == {Level.WELL}
        pools = [one for one in found if one.about.startswith("pool ")]
        assert [one.level for one in pools] == [Level.WRONG, Level.WRONG]
        return pools

    def test_an_account_that_may_not_look_is_told_its_name_and_the_role(
        self, place: Place, database_settings: DatabaseSettings
    ) -> None:
        account = place.cluster.kubeconfig_of("roost-node", place.namespace)
        for one in self.pools(place, account, database_settings):
            for part in ("roost-node", 'cannot list resource "pods"', "manifests/base/rights.yaml"):
                assert part in one.said

    def test_pods_of_a_namespace_that_does_not_exist_are_not_just_none(
        self, place: Place, database_settings: DatabaseSettings
    ) -> None:
        """The API server lists what is nowhere as nothing: an empty list and no error."""
        for one in self.pools(place, place.cluster.kubeconfig, database_settings, "nowhere"):
            assert one.said == "it has no node"
            assert "ROOST_SERVING__NAMESPACE" in one.remedy


def test_a_kubeconfig_that_is_not_there_is_named(place: Place, database_settings: DatabaseSettings) -> None:
    said = restart(place, Path("/nowhere/kubeconfig"), database_settings)
    assert "the Kubernetes cluster is not known" in said
    assert "/nowhere/kubeconfig" in said
