"""The parts below the engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format

from roost.adapters.in_memory.object_store import InMemoryObjectStore
from roost.adapters.tf_messages import model_server_config_pb2
from roost.contracts.errors import ArtifactInvalid, SettingsInvalid, StorageUnavailable
from roost.contracts.ids import InvalidId
from serving.model_server.flags import parse
from serving.node.cache import DiskTrouble
from serving.node.child import BackOff
from serving.node.control import ControlServer, listening
from serving.node.layout import Layout
from serving.node.model_config import ModelEntry, render, render_text
from serving.node.model_server import find_program, flags
from serving.node.source import LateSource
from serving.node.workers import Workers
from tests.unit.node.world import Node

UA = "ua.default"


def test_a_configuration_says_what_was_meant_also_when_read_back():
    entry = ModelEntry(name=UA, base_path=Path("/c/ua.default"), versions=(1, 2), labels={"stable": 2})
    read = model_server_config_pb2.ModelServerConfig()
    text_format.Parse(render_text([entry]), read)
    assert read == render([entry])
    model = read.model_config_list.config[0]
    assert (model.name, model.base_path, model.model_platform) == (UA, "/c/ua.default", "tensorflow")
    assert list(model.model_version_policy.specific.versions) == [1, 2]
    assert dict(model.version_labels) == {"stable": 2}


def test_nothing_to_serve_is_an_empty_list_and_not_an_absent_one():
    assert render([]).WhichOneof("config") == "model_config_list"
    assert "model_config_list" in render_text([])


def test_the_first_failure_costs_no_wait_and_a_good_minute_forgives():
    back_off = BackOff()
    waits = [back_off.failed(ran_seconds=1) for _ in range(12)]
    assert waits[:4] == [0, 0.1, 0.2, 0.4]
    assert max(waits) == 30
    assert back_off.failed(ran_seconds=61) == 0


def test_sockets_stay_within_what_linux_allows(tmp_path: Path):
    deep = tmp_path / ("d" * 120)
    layout = Layout.of(deep, "default", "node-1")
    assert len(str(layout.model_server_socket)) < 108
    assert layout.model_server_socket != Layout.of(deep, "default", "node-2").model_server_socket
    layout.sockets.rmdir()


def test_a_name_that_is_no_id_makes_no_path(tmp_path: Path):
    with pytest.raises(InvalidId, match=r"node name '\.\./x'"):
        Layout.of(tmp_path, "default", "../x")


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsInvalid, match="set ROOST_STATE_DIR"):
        Layout.of(tmp_path / "file", "default", "node-1")


def test_a_store_that_was_down_is_opened_later():
    store = InMemoryObjectStore()
    store.write("a", b"1", if_generation=0)
    outcomes = [StorageUnavailable("down"), store]

    def opened() -> InMemoryObjectStore:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    source = LateSource("roost", opened)
    assert source.uri("a") == store.uri("a")
    with pytest.raises(StorageUnavailable):
        source.read("a")
    assert source.read("a")[0] == b"1"
    assert source.stat("a").size == 1


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(SettingsInvalid, match="ROOST_SERVING__MODEL_SERVER names /no/such"):
        find_program("/no/such")
    assert find_program("auto")


def test_the_program_on_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "tensorflow_model_server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_program("auto") == [str(program)]


def test_the_command_line_has_only_flags_of_tensorflow_serving(tmp_path: Path):
    layout = Layout.of(tmp_path, "default", "node-1")
    read = parse(flags(layout, rest_port=8501, load_threads=4))
    assert read.unknown == ()
    assert (read.flags.port, read.flags.grpc_socket_path) == (0, str(layout.model_server_socket))
    assert (read.flags.num_load_threads, read.flags.max_num_load_retries) == (4, 0)
    assert read.flags.file_system_poll_wait_seconds > 0  # 0 would load nothing that comes later
    assert read.flags.allow_version_labels_for_unavailable_models
    assert read.flags.model_config_file_poll_wait_seconds == 0  # else each poll takes back what a reload brought


def test_a_port_that_is_taken_is_named():
    with listening("127.0.0.1", "0", "x") as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsInvalid, match=f"the control port 127.0.0.1:{port} cannot be used"):
            ControlServer(f"127.0.0.1:{port}", None)


def test_a_control_port_for_others_needs_a_token():
    with pytest.raises(SettingsInvalid, match="ROOST_SERVING__CONTROL_TOKEN"):
        ControlServer("0.0.0.0:0", None)


def test_workers_hand_errors_to_whoever_asks():
    def fail() -> None:
        raise DiskTrouble("full")

    future = Workers("test", 1).submit(fail)
    with pytest.raises(DiskTrouble, match="full"):
        future.result(5)


def test_the_cache_knows_damage_from_health(node: Node):
    node.put(UA, 1)
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    key = (UA, 1)
    assert node.cache.sound(key, node.digests[key])
    assert not node.cache.sound(key, "sha256:" + "0" * 64)
    assert node.cache.intact(key)
    file = node.cache.path(key) / "saved_model.pb"
    file.write_bytes(b"z" * file.stat().st_size)
    assert not node.cache.intact(key)
    file.unlink()
    assert not node.cache.sound(key, node.digests[key])
    node.cache.remove(key)
    node.cache.remove(key)
    assert node.cache.keys() == []
    with pytest.raises(ArtifactInvalid, match="no usable MANIFEST"):
        node.cache.manifest(key)
