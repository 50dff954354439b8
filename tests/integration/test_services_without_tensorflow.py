"""The services need TensorFlow's messages and nothing else of it, and nothing of OpenTelemetry's SDK while traces are off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from docker.extract_messages import extract

pytestmark = pytest.mark.integration

PROGRAM = """
import importlib.util, sys
sys.path.insert(0, sys.argv[1])
import consumers.main, deployer.console.main, deployer.main, deployer.restart.main, serving.node.main
from roost.adapters import tf_messages
assert tf_messages.saved_model_pb2.__file__.startswith(sys.argv[1]), tf_messages.saved_model_pb2.__file__
assert importlib.util.find_spec("tensorflow.python.pywrap_tensorflow") is None
# Traces are off: their SDK would cost each process start-up time and memory.
assert not [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]
tensor = tf_messages.tensor_from_array([1.5])
print(tf_messages.array_from_tensor(tensor).tolist())
"""


def test_every_service_runs_on_the_messages_alone(tmp_path: Path) -> None:
    found = extract(Path(sys.executable).parents[1] / "lib" / _python() / "site-packages", tmp_path)
    assert found > 50
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.py")) < 5_000_000
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.strip() == "[1.5]", done.stderr


def test_an_environment_without_tensorflow_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no tensorflow in"):
        extract(tmp_path, tmp_path / "out")


def _python() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"
