"""Which nodes a rolling restart takes, and what forbids it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from roost.contracts.acks import NodeState, VersionState
from roost.contracts.desired import DesiredState
from roost.contracts.policy import RestartPolicy, RestartWhen

_MIB = 2**20


def why(state: NodeState, generation: int, policy: RestartPolicy, *, always: bool) -> str | None:
    """Why that node shall be restarted; None where it need not."""
    if state.generation < generation:
        return f"it is at generation {state.generation}, behind {generation}"
    if not state.converged and state.settled:
        return f"it does not serve generation {generation}"
    if state.leaked_bytes is not None and state.leaked_bytes > policy.leaked_mb * _MIB:
        leaked, resident = state.leaked_bytes / _MIB, (state.memory_bytes or 0) / _MIB
        return (
            f"unloading left {leaked:.0f} MB of its model server's {resident:.0f} MB behind, "
            f"more than {policy.leaked_mb:g} MB: no reload gives them back, a fresh one does"
        )
    if always or policy.when is RestartWhen.ALWAYS:
        return "every node is restarted"
    return None


def bad_entry(states: Sequence[NodeState], desired: DesiredState) -> str | None:
    """The first desired version that no asked node can load: a restart would be an outage of it, or of all.

    A version that some nodes serve is no bad entry: those that do not are what a restart is for.
    """
    for model in desired.models:
        for listed in model.versions:
            errors = [_error(state, model.name, listed.version) for state in states]
            if errors and all(error is not None for error in errors):
                return f"{model.name} version {listed.version} fails to load on every node: {errors[0]}"
    return None


def in_the_way(states: Sequence[NodeState], known: Sequence[str], node: str) -> str | None:
    """Which other node is not ready, so that restarting `node` would not hold the capacity."""
    ready = {state.node for state in states if state.ready and not state.draining}
    return next((other for other in known if other != node and other not in ready), None)


def came_back(before: NodeState, now: NodeState, generation: int) -> bool:
    """Whether the node has a fresh model server that serves everything again."""
    fresh = now.restarts > before.restarts or now.model_server_pid != before.model_server_pid
    return fresh and now.ready and now.converged and now.generation >= generation


def trouble(state: NodeState, desired: DesiredState) -> str:
    """What keeps a restarted node from serving, one clause."""
    for model in desired.models:
        for listed in model.versions:
            error = _error(state, model.name, listed.version)
            if error is not None:
                return f"{model.name} version {listed.version} failed: {error}"
    return state.error or f"ready is {state.ready}, converged is {state.converged}, generation {state.generation}"


def _error(state: NodeState, name: str, version: int) -> str | None:
    model = state.model(name)
    entry = model.state_of(version) if model else None
    return (entry.error or "no reason given") if entry and entry.state is VersionState.FAILED else None
