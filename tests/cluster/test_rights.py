"""Who may ask the API server for what: each service account's rights as the API server itself sees them.

The table is complete. A right that it does not have fails the first test, whoever gives it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.cluster.accounts import OVERLAYS, POOLS, Account, Question, Right, install_rights, moved, of, rendered
from tests.cluster.control_plane import Cluster
from tests.cluster.processes import until

#: The accounts and roles of the manifests in a namespace that these tests have to themselves.
NAMESPACE: Final = "roost-rights"
_SEES_PODS: Final = Right(group="", resource="pods", verbs=("get", "list"))
_ROLLS_POOLS: Final = Right(group="apps", resource="deployments", names=POOLS, verbs=("get", "patch"))
#: Everything that an account may do in the namespace, beyond what everybody may. Elsewhere: nothing.
MAY: Final[dict[str, frozenset[Right]]] = {
    "roost-deployer": frozenset({_SEES_PODS}),
    "roost-console": frozenset({_SEES_PODS}),
    "roost-restart": frozenset({_SEES_PODS, _ROLLS_POOLS}),
    "roost-consumers": frozenset(),
    "roost-node": frozenset(),
    "roost-canary": frozenset(),
    "roost-setup": frozenset(),
    "roost-training": frozenset(),
}
#: What Kubernetes lets every account do: ask about itself (cluster role system:basic-user) …
_EVERYBODY: Final = frozenset(
    {
        Right(group="authentication.k8s.io", resource="selfsubjectreviews", verbs=("create",)),
        Right(group="authorization.k8s.io", resource="selfsubjectaccessreviews", verbs=("create",)),
        Right(group="authorization.k8s.io", resource="selfsubjectrulesreviews", verbs=("create",)),
    }
)
#: … and read which APIs there are, and whether the server is well (system:discovery, system:public-info-viewer).
_EVERYBODY_READS: Final = frozenset(
    {"/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version", "/version/"}
    | {"/healthz", "/livez", "/readyz"}
    | {"/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks", "/openid/v1/jwks/"}
)
_APPS: Final = "apps"
_RBAC: Final = "rbac.authorization.k8s.io"


def _mine(verb: str, resource: str, *, group: str = "", name: str = "") -> Question:
    return Question(verb=verb, group=group, resource=resource, name=name, namespace=NAMESPACE)


#: What nobody of Roost may do, whatever else: each is a way to more than one's own work.
NOBODY_MAY: Final = (
    _mine("get", "secrets"),
    _mine("list", "secrets"),
    _mine("get", "secrets", name="roost-database"),
    _mine("get", "configmaps"),
    _mine("update", "configmaps", name="roost-settings"),
    _mine("create", "pods"),
    _mine("delete", "pods"),
    _mine("deletecollection", "pods"),
    _mine("patch", "pods"),
    _mine("watch", "pods"),
    _mine("get", "pods/log"),
    _mine("create", "pods/exec"),
    _mine("create", "pods/attach"),
    _mine("create", "pods/portforward"),
    _mine("create", "pods/eviction"),
    _mine("update", "pods/ephemeralcontainers"),
    _mine("create", "serviceaccounts/token", name="roost-restart"),
    _mine("impersonate", "serviceaccounts", name="roost-restart"),
    _mine("create", "deployments", group=_APPS),
    _mine("list", "deployments", group=_APPS),
    _mine("delete", "deployments", group=_APPS, name="roost-pool-default"),
    _mine("update", "deployments", group=_APPS, name="roost-pool-default"),
    _mine("patch", "deployments/scale", group=_APPS, name="roost-pool-default"),
    _mine("patch", "deployments/status", group=_APPS, name="roost-pool-default"),
    _mine("patch", "deployments", group=_APPS, name="roost-deployer"),
    _mine("patch", "deployments", group=_APPS, name="roost-console"),
    _mine("patch", "deployments", group=_APPS),
    _mine("create", "jobs", group="batch"),
    _mine("patch", "cronjobs", group="batch", name="roost-restart"),
    _mine("patch", "horizontalpodautoscalers", group="autoscaling", name="roost-pool-default"),
    _mine("delete", "poddisruptionbudgets", group="policy", name="roost-pool-default"),
    _mine("delete", "networkpolicies", group="networking.k8s.io", name="roost-nothing"),
    _mine("create", "rolebindings", group=_RBAC),
    _mine("bind", "roles", group=_RBAC),
    _mine("escalate", "roles", group=_RBAC),
    Question(verb="patch", resource="namespaces", name=NAMESPACE),
    Question(verb="list", resource="namespaces"),
    Question(verb="list", resource="nodes"),
    Question(verb="list", resource="pods"),
    Question(verb="list", resource="pods", namespace="kube-system"),
    Question(verb="get", resource="secrets", namespace="default"),
    Question(verb="patch", group=_APPS, resource="deployments", name="roost-pool-default", namespace="default"),
    Question(verb="create", group=_RBAC, resource="clusterrolebindings"),
)


@pytest.fixture(scope="module")
def installed(cluster: Cluster) -> Cluster:
    install_rights(cluster, NAMESPACE)
    return cluster


@pytest.fixture(params=sorted(MAY), scope="module")
def account(request: pytest.FixtureRequest, installed: Cluster) -> Iterator[Account]:
    with closing(Account(installed, request.param, NAMESPACE)) as found:
        yield found


@pytest.fixture(scope="module")
def restart(installed: Cluster) -> Iterator[Account]:
    with closing(Account(installed, "roost-restart", NAMESPACE)) as found:
        yield found


@pytest.mark.parametrize("overlay", sorted(path.name for path in OVERLAYS.iterdir()))
def test_the_table_names_every_account_of_every_overlay(overlay: str) -> None:
    assert {one["metadata"]["name"] for one in of(rendered(overlay), "ServiceAccount")} == MAY.keys()


def test_an_account_may_do_exactly_what_the_table_says(account: Account) -> None:
    rights, paths = account.rights(NAMESPACE)
    assert rights - _EVERYBODY == MAY[account.name]
    assert paths == _EVERYBODY_READS


@pytest.mark.parametrize("elsewhere", ["default", "kube-system"])
def test_an_account_may_do_nothing_in_another_namespace(account: Account, elsewhere: str) -> None:
    rights, _ = account.rights(elsewhere)
    assert rights == _EVERYBODY


def test_an_account_may_do_none_of_what_would_give_it_more(account: Account) -> None:
    assert [str(question) for question in NOBODY_MAY if account.may(question)] == []


def test_the_restart_may_do_nothing_else_to_any_kind_of_thing_that_the_server_knows(restart: Account) -> None:
    """Not by the rules that the server tells of, but by asking about every verb of every resource it serves."""
    asked = [
        _mine(verb, resource.name, group=group)
        for group, resource in _resources(restart.api)
        for verb in resource.verbs
        if group not in {"authentication.k8s.io", "authorization.k8s.io"}
    ]
    assert len(asked) > 200
    assert {(one.verb, one.group, one.resource) for one in asked if restart.may(one)} == {
        ("get", "", "pods"),
        ("list", "", "pods"),
    }


def _resources(api: client.ApiClient) -> Iterator[tuple[str, client.V1APIResource]]:
    core = client.CoreV1Api(api).get_api_resources()
    yield from (("", resource) for resource in core.resources)
    custom = client.CustomObjectsApi(api)
    for group in client.ApisApi(api).get_api_versions().groups:
        found = custom.get_api_resources(group.name, group.preferred_version.version)
        yield from ((group.name, resource) for resource in found.resources)


def test_the_restart_is_refused_at_the_door_and_not_only_in_the_reviews(restart: Account) -> None:
    annotations = {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}}
    core, apps = client.CoreV1Api(restart.api), client.AppsV1Api(restart.api)
    attempts = {
        "another deployment": lambda: apps.patch_namespaced_deployment("roost-deployer", NAMESPACE, annotations),
        "scale": lambda: apps.patch_namespaced_deployment_scale(
            "roost-pool-default", NAMESPACE, {"spec": {"replicas": 0}}
        ),
        "delete": lambda: apps.delete_namespaced_deployment("roost-pool-default", NAMESPACE),
        "a secret": lambda: core.read_namespaced_secret("roost-database", NAMESPACE),
        "a token": lambda: core.create_namespaced_service_account_token("roost-deployer", NAMESPACE, {"spec": {}}),
        "everywhere": core.list_pod_for_all_namespaces,
    }
    for what, attempt in attempts.items():
        with pytest.raises(ApiException) as raised:
            attempt()
        assert raised.value.status == 403, what
        assert f"system:serviceaccount:{NAMESPACE}:roost-restart" in str(raised.value.body), what


def test_airflow_may_run_pods_in_this_namespace_and_read_their_logs(installed: Cluster) -> None:
    """The accounts are the official chart's; their rights here are all that Airflow has outside its own namespace."""
    airflow = f"{NAMESPACE}-airflow"
    installed.kubectl("create", "namespace", airflow)
    runs = Right(group="", resource="pods", verbs=("create", "delete", "get", "list", "patch", "watch"))
    logs = Right(group="", resource="pods/log", verbs=("get",))
    may = {"airflow-scheduler": {runs, _SEES_PODS, logs}, "airflow-api-server": {_SEES_PODS, logs}}
    for name in may:
        installed.kubectl("-n", airflow, "create", "serviceaccount", name)
    granted = yaml.safe_load_all(Path("manifests/airflow/rights.yaml").read_text())
    here = yaml.safe_dump_all([moved(one, NAMESPACE, subjects=airflow) for one in granted])
    installed.kubectl("apply", "--server-side", "-f", "-", stdin=here)
    for name, wanted in may.items():
        with closing(Account(installed, name, airflow)) as account:
            _await_rights(account, wanted)
            assert account.rights("default")[0] == _EVERYBODY
            assert account.rights("kube-system")[0] == _EVERYBODY


def _await_rights(account: Account, wanted: set[Right]) -> None:
    until(f"{account.name} has its rights", lambda: account.rights(NAMESPACE)[0] - _EVERYBODY == wanted, 180)


def test_a_right_too_many_is_found(installed: Cluster) -> None:
    """The table would be worth nothing if a right that somebody adds did not fail it."""
    surplus = Right(group="", resource="secrets", verbs=("get",))
    reference = {"apiGroup": _RBAC, "kind": "Role", "name": "too-many"}
    subject = {"kind": "ServiceAccount", "name": "roost-node", "namespace": NAMESPACE}
    with installed.client() as admin, closing(Account(installed, "roost-node", NAMESPACE)) as node:
        rbac = client.RbacAuthorizationV1Api(admin)
        rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
        rbac.create_namespaced_role(NAMESPACE, {"metadata": {"name": "too-many"}, "rules": [rule]})
        binding = {"metadata": {"name": "too-many"}, "roleRef": reference, "subjects": [subject]}
        rbac.create_namespaced_role_binding(NAMESPACE, binding)
        try:
            until("it is seen", lambda: node.rights(NAMESPACE)[0] - _EVERYBODY - MAY["roost-node"] == {surplus}, 180)
        finally:
            rbac.delete_namespaced_role_binding("too-many", NAMESPACE)
            rbac.delete_namespaced_role("too-many", NAMESPACE)
        until("it is gone", lambda: node.rights(NAMESPACE)[0] == _EVERYBODY, 180)
