"""Tables that are filled from a file: allowed where the file is one of the artifact's own assets, and nowhere else.

A vocabulary file of a Keras layer becomes an asset: a constant whose path the loader replaces by the asset's own. Any
other path would be read from the serving node's disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from roost.contracts.errors import ArtifactInvalid

#: Operators that fill a table from a file: table and file name are their inputs.
FROM_FILE: Final = frozenset({"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"})
_FILE_INPUT: Final = 1
_READS: Final = frozenset({"ReadVariableOp", "VarIsInitializedOp"})


def vet_tables(graph: Any) -> None:
    """Follow each table's file name back to where it comes from.

    Raises:
        ArtifactInvalid: where that is anything but an asset of the artifact, handed over as it is.
    """
    assets = _assets(graph)
    for node in graph.graph_def.node:
        if node.op in FROM_FILE and _input(node, _FILE_INPUT) not in assets:
            raise _refused("the graph")
    for function in graph.graph_def.library.function:
        positions = list(_file_arguments(function))
        if positions:
            _vet_calls(graph, function.signature.name, positions, assets)


def _assets(graph: Any) -> set[str]:
    """Nodes that give the path of an asset: its constant, and reads of a variable that holds nothing else."""
    constants = {_node(one.tensor_info.name) for one in graph.asset_file_def}
    reads: dict[str, set[str]] = {}
    for node in graph.graph_def.node:
        if node.op == "ReadVariableOp":
            reads.setdefault(_input(node, 0), set()).add(node.name)
    found = set(constants)
    for handle, readers in reads.items():
        if _holds_only(graph, handle, constants):
            found |= readers
    return found


def _holds_only(graph: Any, handle: str, constants: set[str]) -> bool:
    """Whether everything that touches the variable reads it or assigns one of `constants`."""
    library = [node for function in graph.graph_def.library.function for node in function.node_def]
    every = [*graph.graph_def.node, *library]
    made = next((node for node in graph.graph_def.node if node.name == handle and node.op == "VarHandleOp"), None)
    if made is None:
        return False
    name = made.attr["shared_name"].s
    if sum(node.op == "VarHandleOp" and node.attr["shared_name"].s == name for node in every) != 1:
        # Another handle of the same name would be the same variable.
        return False
    for node in graph.graph_def.node:
        if handle not in {_node(one) for one in node.input}:
            continue
        if node.op == "AssignVariableOp" and _input(node, 1) in constants:
            continue
        if node.op not in _READS:
            return False
    return True


def _file_arguments(function: Any) -> Iterator[int]:
    """Positions of the function's arguments that are used as file names of tables."""
    arguments = [one.name for one in function.signature.input_arg]
    for node in function.node_def:
        if node.op not in FROM_FILE:
            continue
        source = _input(node, _FILE_INPUT)
        if source not in arguments:
            raise _refused(f"function {function.signature.name[:120]!r}")
        yield arguments.index(source)


def _vet_calls(graph: Any, name: str, positions: list[int], assets: set[str]) -> None:
    for other in graph.graph_def.library.function:
        if any(_calls(node, name) for node in other.node_def):
            raise _refused(f"function {other.signature.name[:120]!r}")
    for node in graph.graph_def.node:
        if _calls(node, name) and any(_input(node, one) not in assets for one in positions):
            raise _refused(f"the call of {name[:120]!r}")


def _calls(node: Any, name: str) -> bool:
    values = node.attr.values()
    return node.op == name or any(
        value.func.name == name or any(one.name == name for one in value.list.func) for value in values
    )


def _node(reference: str) -> str:
    return reference.removeprefix("^").partition(":")[0]


def _input(node: Any, position: int) -> str:
    """Node that gives the input at that position; nothing where a malformed node has no such input."""
    return _node(node.input[position]) if position < len(node.input) else ""


def _refused(where: str) -> ArtifactInvalid:
    return ArtifactInvalid(f"saved_model.pb fills a table from a file in {where} that is no asset of the artifact")
