"""A pod's status, made from its containers' as the kubelet does. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.cluster import network
from tests.cluster.agent.container import Container

Object = dict[str, Any]


def phase(init: Sequence[Container], main: Sequence[Container], restart: str) -> str:
    """Pending, Running, Succeeded or Failed."""
    if restart == "Never" and any(_code(container) for container in init if not container.stays):
        return "Failed"
    if not all(_initialized(container) for container in init):
        return "Pending"
    codes = [_code(container) for container in main]
    if restart != "Always" and all(code is not None for code in codes):
        if all(code == 0 for code in codes):
            return "Succeeded"
        if restart == "Never":
            return "Failed"
    return (
        "Running"
        if any(container.running or container.restarts or _code(container) for container in main)
        else "Pending"
    )


def made(init: Sequence[Container], main: Sequence[Container], *, restart: str, address: str, now: str) -> Object:
    """Everything of it that a node says. Conditions that others set stay, since they are merged by type."""
    found = phase(init, main, restart)
    done = found in {"Succeeded", "Failed"}
    initialized = all(_initialized(container) for container in init)
    needed = [*(container for container in init if container.stays), *main]
    ready = not done and initialized and all(container.ready for container in needed)
    return {
        "phase": found,
        "hostIP": network.HOST,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "initContainerStatuses": [container.status() for container in init],
        "containerStatuses": [container.status() for container in main],
        "conditions": [
            _condition("Initialized", now, holds=initialized),
            _condition("ContainersReady", now, holds=ready),
            _condition("Ready", now, holds=ready),
        ],
    }


def _condition(kind: str, now: str, *, holds: bool) -> Object:
    return {"type": kind, "status": "True" if holds else "False", "lastTransitionTime": now}


def _initialized(container: Container) -> bool:
    """A sidecar has done its part once it has started, also while it is being started again."""
    return container.came_up.is_set() if container.stays else _code(container) == 0


def _code(container: Container) -> int | None:
    terminated = container.state.get("terminated")
    return None if terminated is None else int(terminated["exitCode"])
