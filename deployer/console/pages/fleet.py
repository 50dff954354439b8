"""The fleet: pools, their desired generation, and what each node says."""

from __future__ import annotations

from functools import partial

from fastapi import Request
from nicegui import ui

from deployer.console.access import Caller
from deployer.console.app import Console
from deployer.console.fleet_views import NodeView, PoolModelView, PoolView
from deployer.console.pages import asking
from deployer.console.pages.frame import frame
from deployer.console.pages.holds import holds, offers
from deployer.console.pages.live import Live, Sections
from deployer.console.pages.parts import card, cell, chip, empty, link, note, table, tag
from deployer.console.plain_words import megabytes
from deployer.console.views import FreezeView
from roost.contracts.ids import split_served_name

#: More served names than this are found by search only.
_NAMES = 50


def mount(console: Console) -> None:
    """The page at ``/fleet``."""

    @ui.page("/fleet")
    def fleet(request: Request) -> None:
        caller: Caller = request.state.caller
        with frame(console, request, "Fleet"):
            Live(
                console,
                lambda: (console.reader.fleet().pools, tuple(console.reader.freezes())),
                lambda found, sections: _draw(console, caller, sections, found),
                every=1,
            )


def _draw(
    console: Console, caller: Caller, sections: Sections, found: tuple[tuple[PoolView, ...], tuple[FreezeView, ...]]
) -> None:
    pools, freezes = found
    sections.show("head", freezes, lambda _: _head(console, caller, freezes))
    for pool in pools:
        sections.show(f"nodes of {pool.pool}", pool.model_copy(update={"models": ()}), _pool)
        answering = {model.name: _answering(pool, model) for model in pool.models[:_NAMES]}
        sections.show(f"names of {pool.pool}", (pool.models, answering), partial(_names, pool.pool))


def _head(console: Console, caller: Caller, freezes: tuple[FreezeView, ...]) -> None:
    with ui.row().classes("w-full items-center"):
        tag("h1", "Fleet")
        ui.space()
        asking.buttons(console, caller, offers(freezes), asking.Target(label="the whole fleet"))
    holds(console, caller, freezes)


def _pool(pool: PoolView) -> None:
    with card():
        with ui.row().classes("w-full items-center").style("gap: 12px"):
            tag("h2", f"Pool {pool.pool}")
            if pool.generation is not None:
                tag("span", f"generation {pool.generation}", "r-soft")
            if pool.nodes:
                good = len(pool.nodes) - pool.nodes_behind
                serve = "node serves" if len(pool.nodes) == 1 else "nodes serve"
                chip(f"{good} of {len(pool.nodes)} {serve} it", "good" if not pool.nodes_behind else "bad")
            ui.space()
            tag("span", pool.reason, "r-soft r-small")
        for error in pool.errors:
            note(error, "bad")
        if not pool.nodes and not pool.errors:
            command = f"roost node --pool {pool.pool}"
            empty(f"Pool {pool.pool} has no nodes", "A node joins as soon as it is started:", command=command)
        if pool.nodes:
            with table("Node", "State", "#Generation", "#Versions", "#Memory", "#Leaked", "#Restarts", "REST", "gRPC"):
                for node in pool.nodes:
                    _node(node)


def _node(node: NodeView) -> None:
    with tag("tr"):
        cell(node.node, "tight")
        with tag("td", classes="wide"):
            word, tone = _state(node)
            chip(word, tone)
            if node.error:
                tag("div", node.error, "r-small r-soft")
        cell(str(node.generation) if node.generation is not None else "–", "num")
        cell(str(sum(len(model.versions) for model in node.models)) if node.reachable else "–", "num")
        cell(megabytes(node.memory_bytes), "num")
        cell(megabytes(node.leaked_bytes), "num")
        cell(str(node.restarts) if node.restarts is not None else "–", "num")
        cell(node.rest, "r-mono tight")
        cell(node.grpc, "r-mono tight")


def _state(node: NodeView) -> tuple[str, str]:
    if not node.reachable:
        return "down", "bad"
    if node.draining:
        return "draining", "wait"
    if node.behind:
        return "behind", "bad"
    return ("ready", "good") if node.ready else ("not ready", "wait")


def _names(pool: str, found: tuple[tuple[PoolModelView, ...], dict[str, str]]) -> None:
    models, answering = found
    if not models:
        return
    with card(f"Served names of pool {pool}"):
        with table("Served name", "#Stable", "Loaded", "Answering nodes"):
            for model in models[:_NAMES]:
                with tag("tr"):
                    customer, kind = split_served_name(model.name)
                    cell(partial(link, model.name, f"/customers/{customer}?model={kind}"), "tight")
                    cell(str(model.stable or "–"), "num")
                    cell(", ".join(str(version) for version in model.versions), "tight")
                    cell(answering[model.name], "wide")
        if len(models) > _NAMES:
            tag("p", f"and {len(models) - _NAMES} more: search for them on the page of rollouts.", "r-soft")


def _answering(pool: PoolView, model: PoolModelView) -> str:
    good = [
        node.node
        for node in pool.nodes
        for served in node.models
        if served.name == model.name and served.labels.get("stable") == model.stable
    ]
    return f"{len(good)} of {len(pool.nodes)}"
