"""Whatever made a SavedModel, and however it is brought to life, it is served."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roost.adapters.tf_messages import array_from_tensor
from tests.integration.model_server.conftest import Start
from tests.integration.model_server.inference.questions import examples
from tests.integration.model_server.running import RunningServer

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

X = {"x": np.array([1.0, 3.0], np.float32)}


def test_a_tensorflow_1_export_is_served(asked: RunningServer) -> None:
    """Variables from a saver, a table from an asset by the legacy initial operation, examples parsed in the graph."""
    serialized = [each.SerializeToString() for each in examples([{"age": 1.5, "job": "crew"}]).example_list.examples]
    response = asked.predict("census", {"examples": np.array(serialized, object)}, signature="predict")
    assert list(response.outputs["value"].float_val) == [4.0]


@pytest.mark.parametrize(("tags", "factor"), [("serve", 2.0), ("tenfold,serve", 20.0)])
def test_the_meta_graph_of_the_tags_is_served(
    start: Start, saved_models: Path, asked: RunningServer, tags: str, factor: float
) -> None:
    """Exactly those tags, in any order; a text file, brought to life by a main operation."""
    server = asked
    if tags != "serve":
        server = start("--model_name=tagged", f"--model_base_path={saved_models}/tagged", f"--saved_model_tags={tags}")
    assert list(server.predict("tagged", X).outputs["y"].float_val) == [factor, 3 * factor]


def test_tags_that_no_meta_graph_has_are_refused_by_name(start: Start, saved_models: Path) -> None:
    """The server ends at its start, as for any model that cannot be loaded."""
    server = start(
        "--model_name=tagged",
        f"--model_base_path={saved_models}/tagged",
        "--saved_model_tags=serve,gpu",
        "--max_num_load_retries=0",
        ready=False,
    )
    assert server.process.wait(timeout=60) != 0
    # The order is that of the C++ library's set.
    assert "Could not find meta graph def matching supplied tags: { gpu serve }" in server.log.read_text()


def test_tables_with_their_contents_among_the_variables_are_restored(asked: RunningServer) -> None:
    """Mutable and dense hash tables of TF2."""
    response = asked.predict("tables", {"word": ["b", "z"], "number": np.array([7, 8])})
    assert list(response.outputs["mutable"].int64_val) == [2, -1]
    assert list(response.outputs["dense"].int64_val) == [70, -1]


def test_a_keras_export_with_text_and_codes_is_served(asked: RunningServer) -> None:
    """Words are counted and codes looked up in the graph, several outputs by name."""
    response = asked.predict("text", {"words": [["late early x late"]], "codes": np.array([[20]])})
    assert array_from_tensor(response.outputs["tokens"]).tolist() == [[1, 2, 1]]
    assert array_from_tensor(response.outputs["known"]).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize(
    ("signature", "inputs", "expected"),
    [
        ("", {"x": [[1.0, 2.0]]}, {"same": [[1.0, 2.0]], "sum": [3.0], "together": [1]}),
        ("whole", {"x": [[1.0, 2.0]]}, {"total": 3.0}),
        ("two", {"a": [1.0], "b": [2.0]}, {"a": [1.0], "b": [2.0]}),
    ],
)
def test_every_signature_of_a_model_is_asked_by_its_name(
    asked: RunningServer, signature: str, inputs: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Each with its own inputs and outputs."""
    given = {name: np.array(value, np.float32) for name, value in inputs.items()}
    outputs = asked.predict("rows", given, signature=signature).outputs
    assert {name: array_from_tensor(output).tolist() for name, output in outputs.items()} == expected
