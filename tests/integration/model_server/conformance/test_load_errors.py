"""A load ends as TensorFlow's own C++ loader ends it, code and message, whatever is wrong with the model."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roost.adapters.tf_messages import saved_model_pb2
from tests.integration.model_server import cpp_loader
from tests.integration.model_server.bases import Bases
from tests.integration.model_server.running import RunningServer, eventually

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

_VARIABLES = "variables/variables.data-00000-of-00001"


def edited(change: Callable[[Any], object]) -> Callable[[Path], None]:
    """Damage the first meta graph of a version."""

    def damage(directory: Path) -> None:
        file = directory / "saved_model.pb"
        model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
        change(model.meta_graphs[0])
        file.write_bytes(model.SerializeToString())

    return damage


def written(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Damage a file of a version."""

    def damage(directory: Path) -> None:
        file = directory / name
        file.write_bytes(change(file.read_bytes()))

    return damage


def without(name: str) -> Callable[[Path], None]:
    """Take a file of a version away."""
    return lambda directory: (directory / name).unlink()


def emptied(directory: Path) -> None:
    """Leave nothing but the directory."""
    shutil.rmtree(directory)
    directory.mkdir()


def a_directory(directory: Path) -> None:
    """Put a directory in the place of the graph."""
    (directory / "saved_model.pb").unlink()
    (directory / "saved_model.pb").mkdir()


def two_main_operations(meta_graph: Any) -> None:
    """Say two operations where one is meant."""
    del meta_graph.signature_def["__saved_model_init_op"]
    meta_graph.collection_def["saved_model_main_op"].node_list.value.extend(["a", "b"])


def rename_init(meta_graph: Any) -> None:
    """Name an operation that is not in the graph."""
    meta_graph.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name = "nope"


DAMAGES: dict[str, Callable[[Path], None]] = {
    "nothing in it": emptied,
    "graph cut": written("saved_model.pb", lambda graph: graph[:1000]),
    "graph garbage": written("saved_model.pb", lambda _: b"\xff" * 100),
    "graph empty": written("saved_model.pb", lambda _: b""),
    "graph a directory": a_directory,
    "unknown operation": edited(lambda meta: setattr(meta.graph_def.node[0], "op", "NoSuchOp")),
    "graph of the future": edited(lambda meta: setattr(meta.graph_def.versions, "min_consumer", 99_999)),
    "no such restore": edited(lambda meta: setattr(meta.saver_def, "restore_op_name", "nope")),
    "no such init": edited(rename_init),
    "two inits": edited(two_main_operations),
    "no variables": without(_VARIABLES),
    "variables cut": written(_VARIABLES, lambda data: data[:3]),
    "variables changed": written(_VARIABLES, lambda data: bytes([data[0] ^ 1]) + data[1:]),
    "index cut": written("variables/variables.index", lambda data: data[:10]),
}


def test_a_load_ends_as_tensorflow_s_own_loader_ends_it(server: RunningServer, bases: Bases) -> None:
    """By status, for each damage at once. Regression: half of a graph was DATA_LOSS, an empty directory told less."""
    names = {damage: bases.name(damage.replace(" ", "-")) for damage in DAMAGES}
    for damage, name in names.items():
        DAMAGES[damage](bases.copy(name, 1))
    server.refuses(bases.config(*names.values()))
    eventually(lambda: all(server.states(name) == {1: "END"} for name in names.values()), "all have ended")
    found = {}
    for damage, name in names.items():
        (status,) = server.status(name=name).model_version_status
        found[damage] = [status.status.error_code, status.status.error_message]
    directories = [f"{bases.path(name)}/1" for name in names.values()]
    done = subprocess.run(
        [sys.executable, cpp_loader.__file__, *directories], capture_output=True, text=True, timeout=300, check=True
    )
    told = [json.loads(line)[1:] for line in done.stdout.splitlines()]
    assert found == dict(zip(names, told, strict=True))
