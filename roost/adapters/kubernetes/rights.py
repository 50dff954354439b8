"""What the API server says of itself, and of what this account may do."""

from __future__ import annotations

from kubernetes import client

from roost.adapters.kubernetes.cluster import Cluster


def server_version(cluster: Cluster) -> str:
    """Such as ``v1.34.4``. Raises `ClusterUnavailable`, `ClusterRefused`."""
    return str(cluster.ask("ask for the version", client.VersionApi(cluster.api).get_code).git_version)


def may(cluster: Cluster, verb: str, resource: str, *, group: str = "", name: str | None = None) -> bool:
    """Whether this account may do that in the pools' namespace, by the API server's own word. Raises as above."""
    asked = client.V1ResourceAttributes(
        namespace=cluster.namespace, verb=verb, resource=resource, group=group, name=name
    )
    review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=asked))
    api = client.AuthorizationV1Api(cluster.api)
    answer = cluster.ask(f"ask whether it may {verb} {resource}", api.create_self_subject_access_review, review)
    return bool(answer.status.allowed)
