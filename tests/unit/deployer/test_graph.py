"""What of a graph a request can reach, and what only the saver may."""

from __future__ import annotations

from typing import Any

import pytest

from deployer.rollout.graph import vet_graph
from roost.adapters.tf_messages import saved_model_pb2
from roost.contracts.errors import ArtifactInvalid


def graph() -> tuple[Any, Any]:
    """A SavedModel whose signature calls a function, and whose saver is beside it."""
    saved = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    meta = saved.meta_graphs.add()
    meta.graph_def.node.add(name="x", op="Placeholder")
    call = meta.graph_def.node.add(name="call", op="StatefulPartitionedCall", input=["x", "^gate"])
    call.attr["f"].func.name = "serve"
    meta.graph_def.node.add(name="gate", op="NoOp")
    meta.graph_def.node.add(name="save", op="SaveV2", input=["x"])
    meta.signature_def["serving_default"].outputs["y"].name = "call:0"
    function(meta, "serve", "Identity")
    return saved, meta


def function(meta: Any, name: str, *operators: str) -> Any:
    made = meta.graph_def.library.function.add()
    made.signature.name = name
    for index, operator in enumerate(operators):
        made.node_def.add(name=f"n{index}", op=operator)
    return made


def test_a_saver_beside_the_signature_is_ordinary() -> None:
    saved, _ = graph()
    assert vet_graph(saved.SerializeToString()) == 5


def test_a_saver_behind_a_control_input_is_reached() -> None:
    saved, meta = graph()
    meta.graph_def.node[2].input.append("^save")
    with pytest.raises(ArtifactInvalid, match="lets a request reach SaveV2 in the graph"):
        vet_graph(saved.SerializeToString())


def test_a_saver_in_a_nested_function_is_reached() -> None:
    saved, meta = graph()
    inner = meta.graph_def.library.function[0].node_def.add(name="branch", op="If")
    inner.attr["branches"].list.func.add(name="then")
    function(meta, "then", "MergeV2Checkpoints")
    with pytest.raises(ArtifactInvalid, match="MergeV2Checkpoints in function 'then'"):
        vet_graph(saved.SerializeToString())


def test_a_saver_in_the_initialisation_is_reached() -> None:
    saved, meta = graph()
    meta.collection_def["saved_model_main_op"].node_list.value.append("save")
    with pytest.raises(ArtifactInvalid, match="reach SaveV2"):
        vet_graph(saved.SerializeToString())


def test_functions_that_call_each_other_in_a_ring_are_looked_at_once() -> None:
    saved, meta = graph()
    meta.graph_def.library.function[0].node_def.add(name="again", op="__other")
    function(meta, "__other", "Identity").node_def.add(name="back", op="__other")
    assert vet_graph(saved.SerializeToString()) == 5


def test_a_function_is_no_way_round_the_list() -> None:
    saved, meta = graph()
    function(meta, "ReadFile", "Identity")
    meta.graph_def.node.add(name="r", op="ReadFile")
    with pytest.raises(ArtifactInvalid, match="ReadFile"):
        vet_graph(saved.SerializeToString())
