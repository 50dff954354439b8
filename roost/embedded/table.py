"""How a stack is shown: a table for people, a document for scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import Group
from rich.table import Table

from roost.embedded import airflow_home
from roost.embedded.observation import Observation, PartState
from roost.embedded.stack import Stack

_COLOURS: Final = {
    PartState.READY: "green",
    PartState.DONE: "green",
    PartState.EXTERNAL: "cyan",
    PartState.STARTING: "yellow",
    PartState.RESTARTING: "bold yellow",
    PartState.STOPPING: "yellow",
    PartState.FAILED: "bold red",
    PartState.UNREACHABLE: "bold red",
    PartState.WAITING: "dim",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that one look at a stack shows."""

    stack: Stack
    observations: Sequence[Observation]
    seconds: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, float] = field(default_factory=dict)
    restarts: Mapping[str, int] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether every part is as it should be."""
        return all(one.state.well for one in self.observations)


def table(view: View) -> Table:
    """One row a part."""
    total = sum(view.memory.values())
    drawn = Table(title=f"Roost in {view.stack.state.root}", title_justify="left", box=None, pad_edge=False)
    drawn.add_column("part", no_wrap=True)
    drawn.add_column("state", no_wrap=True)
    drawn.add_column("address", overflow="fold")
    drawn.add_column("seconds", justify="right")
    drawn.add_column("MB", justify="right", footer=f"{total:.0f}")
    drawn.show_footer = bool(total)
    for one in view.observations:
        memory = view.memory.get(one.name)
        took = view.seconds.get(one.name)
        drawn.add_row(
            one.name,
            f"[{_COLOURS[one.state]}]{_state(one, view.restarts)}[/]",
            one.address if one.state.well or not one.detail else one.detail,
            "" if took is None else f"{took:.1f}",
            f"{memory:.0f}" if memory else "",
        )
    return drawn


def drawing(view: View) -> Group:
    """The table, and below it, once all is ready, where to go."""
    return Group(table(view), *([places(view.stack)] if view.ready else []))


def places(stack: Stack) -> Table:
    """Where to go, by what for."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", style="dim")
    grid.add_column(overflow="fold")
    for name, address in addresses(stack).items():
        grid.add_row(name, address)
    return grid


def document(view: View) -> dict[str, object]:
    """The same for scripts, with the addresses that people and programs need."""
    return {
        "state": "ready" if view.ready else "not-ready",
        "state_dir": str(view.stack.state.root),
        "stack": view.stack.blueprint.addresses.id,
        "parts": [
            {
                "name": one.name,
                "state": one.state.value,
                "address": one.address,
                "detail": one.detail,
                "pid": one.pid or None,
                "seconds": view.seconds.get(one.name),
                "memory_mb": round(view.memory[one.name], 1) if view.memory.get(one.name) else None,
                "restarts": view.restarts.get(one.name, 0),
                "log": str(view.stack.state.log(one.name)),
            }
            for one in view.observations
        ],
        "addresses": addresses(view.stack),
    }


def addresses(stack: Stack) -> dict[str, str]:
    """Where to go, by what for."""
    chosen = stack.blueprint.addresses
    names = {part.name for part in stack.parts}
    found: dict[str, str] = {}
    if "console" in names:
        found["console"] = chosen.url("console")
    if "airflow-api" in names:
        found["airflow"] = chosen.url("airflow")
        found["airflow login"] = f"{airflow_home.USER} / {chosen.secrets.airflow_password}"
    for node in (part.name for part in stack.parts if f"{part.name}-rest" in chosen.ports):
        found[f"{node} REST"] = chosen.url(f"{node}-rest")
        found[f"{node} gRPC"] = chosen.at(f"{node}-grpc")
    if "broker" in names:
        found["kafka"] = chosen.at("broker")
    if "object-store" in names:
        found["object store"] = chosen.url("object-store")
    return found


def _state(one: Observation, restarts: Mapping[str, int]) -> str:
    times = restarts.get(one.name, 0)
    return one.state.value + (f" (restarted {times}×)" if times else "")
