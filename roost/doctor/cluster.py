"""The Kubernetes cluster that the settings name: reached, of a version that will do, and what this account may do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from roost.doctor.findings import Finding, well, wrong
from roost.doctor.versions import version
from roost.settings import ServingSettings

ABOUT = "kubernetes"


def looked_at(serving: ServingSettings) -> Sequence[Finding]:
    """Findings on the cluster. Raises `ClusterUnavailable`, `ClusterRefused`, `SettingsInvalid`."""
    if serving.directory_file is not None:
        return (well(ABOUT, "not used: nodes are found by ROOST_SERVING__DIRECTORY_FILE"),)
    return tuple(_found(serving))


def _found(serving: ServingSettings) -> Iterator[Finding]:
    from roost.adapters.kubernetes import open_cluster
    from roost.adapters.kubernetes.rights import may, server_version
    from roost.adapters.kubernetes.workload import deployment_of

    cluster = open_cluster(serving)
    yield from version(ABOUT, server_version(cluster))
    if may(cluster, "list", "pods"):
        yield well(ABOUT, f"this account may list pods in {cluster.namespace}")
    else:
        said = f"this account may not list pods in {cluster.namespace}, so no node is found"
        yield wrong(ABOUT, said, "apply manifests/base/rights.yaml, and run as the process's own service account")
    name = deployment_of(serving.pool)
    if not may(cluster, "patch", "deployments", group="apps", name=name):
        yield well(ABOUT, f"this account may not roll {name}: right for everybody but roost-restart")
