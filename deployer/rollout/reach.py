"""Which operators a request, or the model's initialisation, can make run. What only the saver reaches is left out.

From the outputs of every signature back along inputs and control inputs, and into every function that is named on
the way, wherever an attribute names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def reached_by_requests(graph: Any) -> Iterator[tuple[str, str]]:
    """Operators with where they are, for one MetaGraphDef. Signatures include the initialisation's own."""
    nodes = {node.name: node for node in graph.graph_def.node}
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    called: set[str] = set()
    seen: set[str] = set()
    open_ = [_node(name) for name in _roots(graph)]
    while open_:
        name = open_.pop()
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        node = nodes[name]
        yield node.op, "the graph"
        called |= _named(node) & functions.keys()
        open_ += [_node(source) for source in node.input]
    yield from _in_functions(called, functions)


def _in_functions(called: set[str], functions: dict[str, Any]) -> Iterator[tuple[str, str]]:
    open_, seen = sorted(called), set(called)
    while open_:
        name = open_.pop()
        for node in functions[name].node_def:
            yield node.op, f"function {name[:120]!r}"
            found = (_named(node) & functions.keys()) - seen
            seen |= found
            open_ += sorted(found)


def _roots(graph: Any) -> Iterator[str]:
    for signature in graph.signature_def.values():
        for tensor in signature.outputs.values():
            yield tensor.name
            yield tensor.coo_sparse.values_tensor_name
            yield tensor.coo_sparse.indices_tensor_name
            yield tensor.coo_sparse.dense_shape_tensor_name
    for collection in ("saved_model_main_op", "legacy_init_op"):
        if collection in graph.collection_def:
            yield from graph.collection_def[collection].node_list.value


def _named(node: Any) -> set[str]:
    """Names of functions that the node may call: its operator, and any function in its attributes."""
    found = {node.op}
    for value in node.attr.values():
        found.add(value.func.name)
        found.update(function.name for function in value.list.func)
    return found


def _node(reference: str) -> str:
    """Name of the node in an input or tensor reference: ``^a``, ``a:1``, ``a``."""
    return reference.removeprefix("^").partition(":")[0]
