"""No ordinary model is refused for its operators, and each is refused once it reaches for a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deployer.rollout.graph import vet_graph
from roost.adapters.tf_messages import saved_model_pb2
from roost.contracts.errors import ArtifactInvalid

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]
MODELS = ("tabular", "text", "attention", "image", "vocabulary_file", "written")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ordinary")
    command = [sys.executable, str(Path(__file__).with_name("ordinary_models.py")), str(root)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return root


@pytest.mark.parametrize("name", MODELS)
def test_an_ordinary_model_is_not_refused(exported: Path, name: str) -> None:
    assert vet_graph((exported / name / "saved_model.pb").read_bytes()) > 5


@pytest.mark.parametrize("operator", ["ReadFile", "SaveV2"])
def test_an_ordinary_model_that_was_taught_to_touch_files_is_refused(exported: Path, operator: str) -> None:
    saved = saved_model_pb2.SavedModel.FromString((exported / "tabular" / "saved_model.pb").read_bytes())
    for function in saved.meta_graphs[0].graph_def.library.function:
        if "serving" in function.signature.name or "signature_wrapper" in function.signature.name:
            function.node_def.add(name="surprise", op=operator)
    with pytest.raises(ArtifactInvalid, match=operator):
        vet_graph(saved.SerializeToString())
