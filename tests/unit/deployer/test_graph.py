"""What of a graph a request can reach, and what only the saver may."""

from __future__ import annotations

from contextlib import nullcontext
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


def test_a_graph_without_a_saver_has_nothing_to_reach() -> None:
    saved, meta = graph()
    del meta.graph_def.node[3]
    assert vet_graph(saved.SerializeToString()) == 4


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


def with_table(file: str) -> tuple[Any, Any]:
    """A graph whose initialisation fills a table from a file: an asset, by way of a function's argument."""
    saved, meta = graph()
    meta.graph_def.node.add(name="words", op="Const")
    meta.graph_def.node.add(name="passwd", op="Const")
    meta.asset_file_def.add(filename="words.txt").tensor_info.name = "words:0"
    call = meta.graph_def.node.add(name="init", op="StatefulPartitionedCall", input=["x", file])
    call.attr["f"].func.name = "initializer"
    made = meta.graph_def.library.function.add()
    made.signature.name = "initializer"
    made.signature.input_arg.add(name="table")
    made.signature.input_arg.add(name="path")
    made.node_def.add(name="fill", op="InitializeTableFromTextFileV2", input=["table", "path"])
    return saved, meta


def test_a_vocabulary_that_is_an_asset_is_ordinary() -> None:
    saved, _ = with_table("words")
    assert vet_graph(saved.SerializeToString()) == 7


def test_a_vocabulary_from_another_file_is_refused() -> None:
    saved, _ = with_table("passwd")
    with pytest.raises(ArtifactInvalid, match="call of 'initializer' that is no asset"):
        vet_graph(saved.SerializeToString())


def test_a_vocabulary_whose_path_a_function_makes_up_is_refused() -> None:
    saved, meta = with_table("words")
    meta.graph_def.library.function[-1].node_def[0].input[1] = "made:output:0"
    with pytest.raises(ArtifactInvalid, match="function 'initializer'"):
        vet_graph(saved.SerializeToString())


def test_a_vocabulary_that_another_function_hands_on_is_refused() -> None:
    saved, meta = with_table("words")
    meta.graph_def.library.function[0].node_def.add(name="c", op="PartitionedCall").attr["f"].func.name = "initializer"
    with pytest.raises(ArtifactInvalid, match="function 'serve'"):
        vet_graph(saved.SerializeToString())


def test_a_table_in_a_graph_of_the_first_generation_takes_assets_only() -> None:
    saved, meta = with_table("words")
    fill = meta.graph_def.node.add(name="fill", op="InitializeTableFromTextFile", input=["x", "words"])
    assert vet_graph(saved.SerializeToString()) == 8
    fill.input[1] = "passwd"
    with pytest.raises(ArtifactInvalid, match="in the graph that is no asset"):
        vet_graph(saved.SerializeToString())


def in_a_variable(assigned: str) -> tuple[Any, Any]:
    """The same, with the asset's path kept in a variable, as Keras does."""
    saved, meta = with_table("read")
    meta.graph_def.node.add(name="v", op="VarHandleOp").attr["shared_name"].s = b"v"
    meta.graph_def.node.add(name="assign", op="AssignVariableOp", input=["v", assigned])
    meta.graph_def.node.add(name="there", op="VarIsInitializedOp", input=["v"])
    meta.graph_def.node.add(name="read", op="ReadVariableOp", input=["v", "^assign"])
    return saved, meta


def test_a_vocabulary_whose_path_stands_in_a_variable_is_ordinary() -> None:
    saved, _ = in_a_variable("words")
    assert vet_graph(saved.SerializeToString()) > 8


def test_a_variable_that_may_hold_another_path_is_refused() -> None:
    saved, _ = in_a_variable("passwd")
    with pytest.raises(ArtifactInvalid, match="no asset"):
        vet_graph(saved.SerializeToString())


def test_a_variable_that_another_handle_or_call_may_change_is_refused() -> None:
    for name, operator in (("twin", "VarHandleOp"), ("call2", "PartitionedCall")):
        saved, meta = in_a_variable("words")
        node = meta.graph_def.node.add(name=name, op=operator, input=["v"])
        node.attr["shared_name"].s = b"v"
        with pytest.raises(ArtifactInvalid, match="no asset"):
            vet_graph(saved.SerializeToString())


def test_a_read_of_what_is_no_variable_is_refused() -> None:
    saved, meta = with_table("read")
    meta.graph_def.node.add(name="read", op="ReadVariableOp", input=["words"])
    with pytest.raises(ArtifactInvalid, match="no asset"):
        vet_graph(saved.SerializeToString())


def test_a_malformed_node_is_refused_and_breaks_nothing() -> None:
    for operator in ("InitializeTableFromTextFileV2", "ReadVariableOp", "AssignVariableOp"):
        saved, meta = in_a_variable("words")
        meta.graph_def.node.add(name="bare", op=operator)
        meta.graph_def.node.add(name="short", op=operator, input=["v"])
        with pytest.raises(ArtifactInvalid, match="no asset") if operator != "ReadVariableOp" else nullcontext():
            vet_graph(saved.SerializeToString())
