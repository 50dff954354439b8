"""Looks through a SavedModel without running it: parsed as protobuf only, every graph and every function.

A SavedModel is a program. What may run is listed in `operators.txt`: operators that compute, or keep the model's own
variables and tables. Those of `storage_operators.txt` touch files; every SavedModel saves and restores itself with
them, so they may be there, and nothing that a request or the model's initialisation runs may reach them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

from google.protobuf.message import DecodeError

from deployer.rollout.assets import FROM_FILE, vet_tables
from deployer.rollout.reach import reached_by_requests
from roost.adapters.tf_messages import saved_model_pb2
from roost.contracts.errors import ArtifactInvalid


@cache
def _listed(file: str) -> frozenset[str]:
    """One operator a line, comments after ``#``."""
    text = resources.files("deployer.rollout").joinpath(file).read_text(encoding="utf-8")
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return frozenset(line for line in lines if line)


def vet_graph(content: bytes) -> int:
    """Check every operator of a `saved_model.pb`. Returns how many different ones it uses.

    Raises:
        ArtifactInvalid: where it does not parse, has no graph, or uses an operator that is not allowed; the text
            names the operator and where it is.
    """
    try:
        saved = saved_model_pb2.SavedModel.FromString(content)
    except DecodeError as error:
        raise ArtifactInvalid(f"saved_model.pb is truncated or not a SavedModel: {error}") from error
    if not saved.meta_graphs:
        raise ArtifactInvalid("saved_model.pb holds no graph")
    used: set[str] = set()
    for graph in saved.meta_graphs:
        used |= _vet(graph)
    return len(used)


def _vet(graph: Any) -> set[str]:
    storage = _listed("storage_operators.txt")
    known = _listed("operators.txt") | storage | FROM_FILE
    named = {function.signature.name for function in graph.graph_def.library.function}
    # A node may call a function by the function's own name. Two underscores begin no operator's name: a function that
    # took an operator's would hide it.
    functions = {name for name in named if name.startswith("__")}
    used: set[str] = set()
    for operator, where in _operators(graph):
        if operator not in functions and operator not in known:
            raise ArtifactInvalid(f"saved_model.pb uses the operator {operator} in {where}, which is not allowed")
        used.add(operator)
    if used & storage:
        for operator, where in reached_by_requests(graph):
            if operator in storage:
                raise ArtifactInvalid(f"saved_model.pb lets a request reach {operator} in {where}, which touches files")
    if used & FROM_FILE:
        vet_tables(graph)
    return used - functions


def _operators(graph: Any) -> Iterator[tuple[str, str]]:
    for node in graph.graph_def.node:
        yield node.op, "the graph"
    for function in graph.graph_def.library.function:
        for node in function.node_def:
            yield node.op, f"function {function.signature.name[:120]!r}"
