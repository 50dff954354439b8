"""Reading a SavedModel's description from disk: the graph, its signatures, and how to bring it to life.

The steps and the texts of refusals are those of TensorFlow's C++ loader, which the official server uses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from roost.adapters.tf_messages import meta_graph_pb2, saved_model_pb2
from serving.model_server.statuses import Code, StatusError, not_found

_INIT_OP = "__saved_model_init_op"
_MAIN_OP_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")
_ASSETS_COLLECTION = "saved_model_assets"


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialRun:
    """One run that prepares the graph: tensors fed with these strings, operations run for their effect."""

    feeds: dict[str, str]
    targets: tuple[str, ...]


def read_meta_graph(directory: Path, tags: Sequence[str]) -> meta_graph_pb2.MetaGraphDef:
    """Return the meta graph that has exactly these tags.

    Raises NOT_FOUND where there is no SavedModel, or none of these tags; DATA_LOSS where the file cannot be parsed.
    """
    saved_model = _read(directory)
    for meta_graph in saved_model.meta_graphs:
        if set(meta_graph.meta_info_def.tags) == set(tags):
            return meta_graph
    raise not_found(
        f"Could not find meta graph def matching supplied tags: {{ {' '.join(tags)} }}. To inspect available tag-sets "
        f"in the SavedModel, please use the SavedModel CLI: `saved_model_cli`"
    )


def _read(directory: Path) -> saved_model_pb2.SavedModel:
    binary, text = directory / "saved_model.pb", directory / "saved_model.pbtxt"
    try:
        if binary.exists():
            return saved_model_pb2.SavedModel.FromString(binary.read_bytes())
        if text.exists():
            return text_format.Parse(text.read_text(), saved_model_pb2.SavedModel())
    except (DecodeError, text_format.ParseError) as error:
        raise StatusError(Code.DATA_LOSS, f"Can't parse {binary} as binary proto") from error
    except OSError as error:
        raise StatusError(Code.UNKNOWN, f"{error.filename}; {error.strerror}") from error
    raise not_found(f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {directory}")


def initial_runs(directory: Path, meta_graph: meta_graph_pb2.MetaGraphDef) -> list[InitialRun]:
    """Return the runs that restore the variables and initialise the tables, in order."""
    assets = _assets(directory, meta_graph)
    runs = []
    variables = directory / "variables" / "variables"
    if meta_graph.HasField("saver_def") and variables.with_suffix(".index").exists():
        saver = meta_graph.saver_def
        feeds = {saver.filename_tensor_name: str(variables), **assets}
        runs.append(InitialRun(feeds=feeds, targets=(_operation(saver.restore_op_name),)))
    init = _init_operation(meta_graph)
    if init:
        runs.append(InitialRun(feeds=assets, targets=(init,)))
    return runs


def _assets(directory: Path, meta_graph: meta_graph_pb2.MetaGraphDef) -> dict[str, str]:
    files = list(meta_graph.asset_file_def)
    if not files and _ASSETS_COLLECTION in meta_graph.collection_def:
        packed = meta_graph.collection_def[_ASSETS_COLLECTION].any_list.value
        files = [meta_graph_pb2.AssetFileDef.FromString(each.value) for each in packed]
    return {asset.tensor_info.name: str(directory / "assets" / asset.filename) for asset in files}


def _init_operation(meta_graph: meta_graph_pb2.MetaGraphDef) -> str:
    if _INIT_OP in meta_graph.signature_def:
        return _operation(meta_graph.signature_def[_INIT_OP].outputs[_INIT_OP].name)
    for collection in _MAIN_OP_COLLECTIONS:
        if collection in meta_graph.collection_def:
            names = meta_graph.collection_def[collection].node_list.value
            return _operation(names[0]) if names else ""
    return ""


def _operation(tensor: str) -> str:
    return tensor.partition(":")[0]
