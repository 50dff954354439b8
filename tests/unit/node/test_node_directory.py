from __future__ import annotations

import json
from pathlib import Path

import pytest

from roost.adapters.node_directory import DirectoryFile, open_directory
from roost.contracts.errors import NodeUnavailable, SettingsInvalid
from roost.settings import ServingSettings


def listed(*names: str, pool: str = "default") -> str:
    nodes = [{"node": n, "pool": pool, "control": f"{n}:1", "rest": f"{n}:2", "grpc": f"{n}:3"} for n in names]
    return json.dumps({"nodes": nodes})


def test_nodes_of_a_pool_come_by_name(tmp_path: Path):
    file = tmp_path / "nodes.json"
    file.write_text(listed("b", "a"))
    directory = DirectoryFile(file)
    assert [address.node for address in directory.nodes("default")] == ["a", "b"]
    assert directory.nodes("canary") == ()
    assert directory.nodes("default")[0].grpc == "a:3"


def test_a_changed_file_is_read_again(tmp_path: Path):
    file = tmp_path / "nodes.json"
    file.write_text(listed("a"))
    directory = DirectoryFile(file)
    assert len(directory.nodes("default")) == 1
    fresh = tmp_path / "fresh"
    fresh.write_text(listed("a", "c"))
    fresh.replace(file)
    assert len(directory.nodes("default")) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is not valid at file"),
        ('{"nodes": [{"node": "a"}]}', "is not valid at nodes.0.pool: Field required"),
        (listed("a", pool="No Pool"), "is not valid at nodes.0.pool"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: str | None, said: str):
    file = tmp_path / "nodes.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(NodeUnavailable, match=said) as raised:
        DirectoryFile(file).nodes("default")
    assert str(file) in str(raised.value)


def test_a_directory_must_be_named():
    with pytest.raises(SettingsInvalid, match="ROOST_SERVING__DIRECTORY_FILE"):
        open_directory(ServingSettings())
