"""Reading a SavedModel's description from disk: the graph, its signatures, and how to bring it to life.

The steps and the texts of refusals are those of TensorFlow's C++ loader, which the official server uses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from roost.adapters.tf_messages import meta_graph_pb2, saved_model_pb2
from serving.model_server.statuses import Code, StatusError, failed_precondition, not_found

_INIT_OP = "__saved_model_init_op"
_MAIN_OP_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")
_ASSETS_COLLECTION = "saved_model_assets"
#: Kinds of fields in protobuf's wire form.
_NUMBER, _BYTES = 0, 2
#: Bytes of a number.
_LONGEST_NUMBER = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialRun:
    """One run that prepares the graph: tensors fed with these strings, operations run for their effect."""

    feeds: dict[str, str]
    targets: tuple[str, ...]


def read_meta_graph(directory: Path, tags: Sequence[str]) -> meta_graph_pb2.MetaGraphDef:
    """Return the meta graph that has exactly these tags.

    Raises NOT_FOUND where there is no SavedModel, or none of these tags; OUT_OF_RANGE where the file is cut short,
    DATA_LOSS where it is none otherwise.
    """
    saved_model = _read(directory)
    for meta_graph in saved_model.meta_graphs:
        if set(meta_graph.meta_info_def.tags) == set(tags):
            return meta_graph
    said = " ".join(reversed(dict.fromkeys(tags)))  # as the set of the C++ library lists them
    raise not_found(
        f"Could not find meta graph def matching supplied tags: {{ {said} }}. To inspect available tag-sets "
        f"in the SavedModel, please use the SavedModel CLI: `saved_model_cli`"
    )


def _read(directory: Path) -> saved_model_pb2.SavedModel:
    binary, text = directory / "saved_model.pb", directory / "saved_model.pbtxt"
    path, kind = (binary, "binary") if binary.exists() else (text, "text")
    if not path.exists():
        raise not_found(
            f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {directory}. "
            "Check that the directory exists and that you have the right permissions for accessing it."
        )
    content = _content(path)
    try:
        if kind == "binary":
            return saved_model_pb2.SavedModel.FromString(content)
        return text_format.Parse(content, saved_model_pb2.SavedModel())
    except (DecodeError, text_format.ParseError, UnicodeDecodeError) as error:
        if kind == "binary" and _is_cut(content):
            raise StatusError(Code.OUT_OF_RANGE, "Read less bytes than requested") from error
        raise StatusError(Code.DATA_LOSS, f"Can't parse {path} as {kind} proto") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except IsADirectoryError:
        return b""  # as the C++ library reads one
    except PermissionError as error:
        raise StatusError(Code.PERMISSION_DENIED, f"{path}; {error.strerror}") from error
    except OSError as error:
        raise StatusError(Code.UNKNOWN, f"{path}; {error.strerror}") from error


def _is_cut(content: bytes) -> bool:
    """Whether a message of fields that tell their length ends before its last one does."""
    at = 0
    while 0 <= at < len(content):
        tag, at = _varint(content, at)
        if at < 0 or tag & 7 not in {_NUMBER, _BYTES}:
            return False
        length, at = _varint(content, at)
        at += length if at >= 0 and tag & 7 == _BYTES else 0
    return at > len(content)


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Return a number of protobuf's wire form and where what follows it begins.

    That is past the end where the number is cut, and before the begin where it is too long for one.
    """
    value = 0
    for index, byte in enumerate(content[at : at + _LONGEST_NUMBER]):
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, at + index + 1
    return value, len(content) + 1 if at + _LONGEST_NUMBER > len(content) else -1


def initial_runs(directory: Path, meta_graph: meta_graph_pb2.MetaGraphDef) -> list[InitialRun]:
    """Return the runs that restore the variables and initialise the tables, in order."""
    assets = _assets(directory, meta_graph)
    runs = []
    variables = directory / "variables" / "variables"
    if meta_graph.HasField("saver_def") and variables.with_suffix(".index").exists():
        saver = meta_graph.saver_def
        feeds = {saver.filename_tensor_name: str(variables), **assets}
        runs.append(InitialRun(feeds=feeds, targets=(_operation(saver.restore_op_name),)))
    init = _init_operation(directory, meta_graph)
    if init:
        runs.append(InitialRun(feeds=assets, targets=(init,)))
    return runs


def _assets(directory: Path, meta_graph: meta_graph_pb2.MetaGraphDef) -> dict[str, str]:
    files = list(meta_graph.asset_file_def)
    if not files and _ASSETS_COLLECTION in meta_graph.collection_def:
        packed = meta_graph.collection_def[_ASSETS_COLLECTION].any_list.value
        files = [meta_graph_pb2.AssetFileDef.FromString(each.value) for each in packed]
    return {asset.tensor_info.name: str(directory / "assets" / asset.filename) for asset in files}


def _init_operation(directory: Path, meta_graph: meta_graph_pb2.MetaGraphDef) -> str:
    if _INIT_OP in meta_graph.signature_def:
        return _operation(meta_graph.signature_def[_INIT_OP].outputs[_INIT_OP].name)
    for collection in _MAIN_OP_COLLECTIONS:
        if collection in meta_graph.collection_def:
            names = meta_graph.collection_def[collection].node_list.value
            if len(names) > 1:
                raise failed_precondition(f"Expected exactly one main op in : {directory}")
            return _operation(names[0]) if names else ""
    return ""


def _operation(tensor: str) -> str:
    return tensor.partition(":")[0]
