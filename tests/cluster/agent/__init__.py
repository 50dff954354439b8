"""The pod agent: plays scheduler and kubelet by running each container as a process in namespaces of its own.

What is real, and what is not: docs/cluster-tests.md.
"""
