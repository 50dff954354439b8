"""Kubernetes, through its own client: which pods a pool has, and the roll of its Deployment.

Every call has a deadline. What the API server refuses names the verb, the thing, the namespace and the remedy.
"""

from roost.adapters.kubernetes.cluster import Cluster, open_cluster
from roost.adapters.kubernetes.directory import KubernetesDirectory
from roost.adapters.kubernetes.workload import KubernetesWorkload

__all__ = ["Cluster", "KubernetesDirectory", "KubernetesWorkload", "open_cluster"]
