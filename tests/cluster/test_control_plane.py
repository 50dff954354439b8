"""The harness itself: a control plane that is real, and a service account's own way into it."""

from __future__ import annotations

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.cluster import binaries
from tests.cluster.control_plane import Cluster
from tests.cluster.processes import until


def test_the_api_server_is_the_version_that_the_module_names(cluster: Cluster) -> None:
    with cluster.client() as api:
        assert client.VersionApi(api).get_code().git_version == binaries.version()


def test_a_service_accounts_token_is_its_own_and_may_do_nothing_without_a_role(cluster: Cluster) -> None:
    until("its account is there", lambda: cluster.kubectl("get", "sa", "default", "-o", "name", check=False), 180)
    with cluster.client(cluster.token_of("default", "default")) as api:
        who = client.AuthenticationV1Api(api).create_self_subject_review(client.V1SelfSubjectReview())
        assert who.status.user_info.username == "system:serviceaccount:default:default"
        with pytest.raises(ApiException, match="pods is forbidden"):
            client.CoreV1Api(api).list_namespaced_pod("default")
    said = cluster.kubectl("get", "pods", check=False, kubeconfig=cluster.kubeconfig_of("default", "default"))
    assert "forbidden" in said
