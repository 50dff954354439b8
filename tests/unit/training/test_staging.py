from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from roost.adapters.in_memory.object_store import InMemoryObjectStore
from roost.contracts.errors import ArtifactInvalid, Conflict, StorageUnavailable
from roost.ports.object_store import StoredObject
from tests.unit.training.artifacts import FILES, artifact
from training.staging import Staged, next_attempt, stage, staged

PREFIX = "staging/ua/default/run-1/"


class RecordingStore(InMemoryObjectStore):
    """Remembers the order of writes."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []

    def write(
        self, name: str, content: bytes, *, if_generation: int, metadata: Mapping[str, str] | None = None
    ) -> StoredObject:
        self.order.append(name.removeprefix(PREFIX))
        return super().write(name, content, if_generation=if_generation, metadata=metadata)


def test_the_graph_comes_last_but_for_the_manifest(tmp_path: Path) -> None:
    store = RecordingStore()
    stage(store, artifact(tmp_path))
    assert store.order[-2:] == ["saved_model.pb", "MANIFEST.json"]
    assert set(store.order) == {*FILES, "MANIFEST.json"}


def test_what_was_staged_is_found_whole(tmp_path: Path) -> None:
    store = InMemoryObjectStore()
    done = stage(store, artifact(tmp_path))
    assert done == staged(store, PREFIX) == next_attempt(store, "ua", "default", "run-1")
    assert done.uri == f"gs://roost/{PREFIX}"
    for path, content in FILES.items():
        assert store.read(PREFIX + path)[0] == content


def test_half_an_artifact_does_not_count(tmp_path: Path) -> None:
    store = InMemoryObjectStore()
    store.lost_responses.add(PREFIX + "saved_model.pb")
    with pytest.raises(StorageUnavailable):
        stage(store, artifact(tmp_path))
    assert staged(store, PREFIX) is None


def test_the_next_attempt_leaves_the_remains_of_a_dead_one_alone(tmp_path: Path) -> None:
    store = InMemoryObjectStore()
    assert next_attempt(store, "ua", "default", "run-1") == "run-1"
    store.write(PREFIX + "variables/variables.index", b"from the dead", if_generation=0)
    assert next_attempt(store, "ua", "default", "run-1") == "run-1~2"
    done = stage(store, artifact(tmp_path, run_id="run-1~2"))
    assert next_attempt(store, "ua", "default", "run-1") == done
    assert store.read(PREFIX + "variables/variables.index")[0] == b"from the dead"


def test_an_attempt_that_was_thought_dead_and_finishes_is_found_first(tmp_path: Path) -> None:
    store = InMemoryObjectStore()
    stage(store, artifact(tmp_path / "2", run_id="run-1~2"))
    stage(store, artifact(tmp_path / "1"))
    found = next_attempt(store, "ua", "default", "run-1")
    assert isinstance(found, Staged)
    assert found.manifest.run.run_id == "run-1"


def test_two_attempts_at_once_under_one_id_conflict(tmp_path: Path) -> None:
    store = InMemoryObjectStore()
    store.write(PREFIX + "roost/golden.jsonl", b"{}\n", if_generation=0)
    with pytest.raises(Conflict):
        stage(store, artifact(tmp_path))


def test_a_file_that_changed_since_the_manifest_is_refused(tmp_path: Path) -> None:
    store = InMemoryObjectStore()
    made = artifact(tmp_path)
    (tmp_path / "variables/variables.index").write_bytes(b"other")
    with pytest.raises(ArtifactInvalid, match=r"variables\.index"):
        stage(store, made)
    assert staged(store, PREFIX) is None


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]"])
def test_a_manifest_that_is_none_is_named(content: bytes) -> None:
    store = InMemoryObjectStore()
    store.write(PREFIX + "MANIFEST.json", content, if_generation=0)
    with pytest.raises(ArtifactInvalid, match=r"MANIFEST\.json is not a manifest"):
        staged(store, PREFIX)
