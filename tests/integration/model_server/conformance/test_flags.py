"""What the command line takes, what the process says, and how it ends."""

import os
import re
import socket
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving.model_server.flags import NONE, flag_fields
from tests.integration.model_server.bases import Bases
from tests.integration.model_server.conftest import Start
from tests.integration.model_server.running import FAST, RunningServer, eventually, free_port

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

MODEL = 'model_config_list { config { name: "m" base_path: "BASE" model_platform: "PLATFORM" } }'

#: What ends the start: the flags (or the config file's text), and what is printed then.
REFUSED: dict[str, tuple[Sequence[str], str | None, str]] = {
    "help": (["--help"], None, "usage: "),
    "a value of the wrong type": (["--port=many", "--model_base_path=/x"], None, "usage: "),
    "no model": (
        ["--port=0", "--grpc_socket_path=SOCKET"],
        None,
        (
            "Failed to start server. Error: INVALID_ARGUMENT: "
            "Both server_options.model_base_path and server_options.model_config_file are empty!"
        ),
    ),
    "no address": (["--port=0", "--model_base_path=/x"], None, "Failed to start server. Error: INVALID_ARGUMENT: "),
    "a relative path": (
        ["--port=0", "--grpc_socket_path=SOCKET", "--model_base_path=models/m"],
        None,
        "Expected model default to have an absolute path or URI; got base_path()=models/m",
    ),
    "no such config file": (
        ["--port=0", "--grpc_socket_path=SOCKET", "--model_config_file=/no/such/file"],
        None,
        "Failed to start server. Error: NOT_FOUND: /no/such/file; No such file or directory",
    ),
    "a config file that is a directory": (
        ["--port=0", "--grpc_socket_path=SOCKET", "--model_config_file=/tmp"],
        None,
        "Failed to start server. Error: NOT_FOUND: /tmp; No such device",
    ),
    "a config file with nothing in it": (
        ["--port=0", "--grpc_socket_path=SOCKET"],
        "",
        "Failed to start server. Error: INVALID_ARGUMENT: FILE; Invalid argument",
    ),
    "a session config that does not parse": (
        ["--port=0", "--grpc_socket_path=SOCKET", "--model_base_path=/x", "--tensorflow_session_config_file=FILE"],
        "no_such_field: 1",
        "Failed to start server. Error: INVALID_ARGUMENT: Invalid protobuf file: 'FILE'",
    ),
    "a config that does not parse": (
        ["--port=0", "--grpc_socket_path=SOCKET"],
        "model_config_list { config { nam",
        "Failed to start server. Error: INVALID_ARGUMENT: Invalid protobuf file: 'FILE'",
    ),
    "an unknown platform": (
        ["--port=0", "--grpc_socket_path=SOCKET"],
        MODEL.replace("BASE", "/x").replace("PLATFORM", "torch"),
        "Failed to start server. Error: INVALID_ARGUMENT: Model m requests unsupported platform torch",
    ),
    "a logger": (
        ["--port=0", "--grpc_socket_path=SOCKET"],
        MODEL.replace("PLATFORM", "tensorflow").removesuffix("} }") + "logging_config {} } }",
        "Failed to start server. Error: INVALID_ARGUMENT: No request-logger-creator provided.",
    ),
    "all three kinds of parallelism": (
        [
            "--port=0",
            "--grpc_socket_path=SOCKET",
            "--model_base_path=/x",
            "--tensorflow_intra_op_parallelism=1",
            "--tensorflow_inter_op_parallelism=1",
            "--tensorflow_session_parallelism=1",
        ],
        None,
        "separately. You cannot configure all.",
    ),
    "batching parameters without batching": (
        ["--port=0", "--grpc_socket_path=SOCKET", "--model_base_path=/x", "--batching_parameters_file=/x"],
        None,
        "server_options.batching_parameters_file is set without setting server_options.enable_batching to true.",
    ),
}


def run(program: Sequence[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run([*program, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("case", REFUSED)
def test_what_keeps_it_from_starting_is_printed_and_the_exit_code_is_255(
    program: Sequence[str], bases: Bases, tmp_path: Path, case: str
) -> None:
    """On stdout, in the official words."""
    flags, text, said = REFUSED[case]
    if text is not None:
        bases.place("m", 1)
        (tmp_path / "models.config").write_text(text.replace("BASE", str(bases.path("m"))))
        if not any("FILE" in flag for flag in flags):
            flags = [*flags, "--model_config_file=FILE"]
    places = {"SOCKET": f"{tmp_path}/s", "FILE": f"{tmp_path}/models.config"}
    done = run(program, *(re.sub("SOCKET|FILE", lambda found: places[found[0]], flag) for flag in flags))
    assert done.returncode == 255
    assert said.replace("FILE", f"{tmp_path}/models.config") in done.stdout
    assert "Traceback" not in done.stderr
    if case == "a config that does not parse":
        assert "Error parsing text-format tensorflow.serving.ModelServerConfig" in done.stderr
    if case == "a value of the wrong type":
        assert "Couldn't interpret value many for flag port." in done.stderr


def test_the_version_is_printed(program: Sequence[str]) -> None:
    """The server's and the library's, and the process ends well."""
    done = run(program, "--version", "--no_such_flag=1")
    assert done.returncode == 0
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        "TensorFlow ModelServer",
        "TensorFlow Library",
    ]


def test_the_help_lists_every_official_flag(program: Sequence[str]) -> None:
    """Those that have no effect here too; only `rigour` is the drop-in's own."""
    done = run(program, "--help")
    assert done.returncode == 255
    official = [name for name, each in flag_fields().items() if each.metadata["effect"] != "own"]
    assert [name for name in official if f"\t--{name}=" not in done.stdout] == []


def test_a_whole_command_line_with_unknown_flags_serves_one_model(start: Start, bases: Bases, tmp_path: Path) -> None:
    """By `--model_name` and `--model_base_path`, on a TCP port too; the first thing that it does not know it tells."""
    (tmp_path / "session.config").write_text("intra_op_parallelism_threads: 1 gpu_options { allow_growth: true }")
    bases.place("base", 1, 3)
    port = free_port()
    inert = [
        f"--{name}={str(each.default).lower()}"
        for name, each in flag_fields().items()
        if each.metadata["effect"] == NONE and isinstance(each.default, bool)
    ]
    server = start(
        f"--port={port}",
        "--model_name=mine",
        f"--model_base_path={bases.path('base')}",
        "--no_such_flag=1",
        "--nor_this=1",
        f"--tensorflow_session_config_file={tmp_path}/session.config",
        "--enable_grpc_healthcheck_service",
        "--grpc_channel_arguments=grpc.max_connection_age_ms=60000,grpc.lb_policy_name=x",
        "--grpc_max_threads=8",
        "--rest_api_num_threads=4",
        "--mixed_precision=",
        *inert,
    )
    assert server.scale("mine") == 3
    assert re.findall("unknown argument: .*", server.log.read_text()) == ["unknown argument: --no_such_flag=1"]
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=60)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        for service in ("tensorflow.serving.PredictionService", "nobody"):  # gRPC's own service in C++ knows no names
            with pytest.raises(grpc.RpcError) as error:
                stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=60)
            assert error.value.code() is grpc.StatusCode.NOT_FOUND


def test_without_its_flag_there_is_no_health_service(server: RunningServer) -> None:
    """As by default."""
    with grpc.insecure_channel(f"unix:{server.socket_path}") as channel, pytest.raises(grpc.RpcError) as error:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_taken_grpc_port_ends_the_start_and_a_taken_rest_port_does_not(
    program: Sequence[str], start: Start, bases: Bases, tmp_path: Path
) -> None:
    """The one is refused; without the other the server goes on, and its log says so."""
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "models.config").write_text("model_config_list {}")
        done = run(program, f"--model_config_file={tmp_path}/models.config", f"--port={port}")
        assert done.returncode == 255
        assert "Failed to start server. Error: INVALID_ARGUMENT: Failed to BuildAndStart gRPC server" in done.stdout
        name = bases.name("m")
        bases.place(name, 1)
        server = start(*FAST, f"--rest_api_port={port}", models=bases.config(name), ready=False)
        eventually(lambda: "Failed to start HTTP Server at localhost:" in server.log.read_text(), "it says so")
        assert server.scale(name) == 1


def test_a_rest_port_that_is_the_grpc_port_is_skipped(start: Start, bases: Bases) -> None:
    """The log says so."""
    name = bases.name("m")
    bases.place(name, 1)
    port = free_port()
    server = start(*FAST, f"--port={port}", f"--rest_api_port={port}", models=bases.config(name), ready=False)
    text = "server_options.http_port cannot be same as grpc_port."
    eventually(lambda: text in server.log.read_text(), "it says so")
    assert server.scale(name) == 1


def test_the_socket_is_made_with_the_mask_of_the_process(start: Start) -> None:
    """Whoever must not reload is kept out by it, or by its directory."""
    before = os.umask(0o077)
    try:
        server = start(*FAST, models="model_config_list {}")
    finally:
        os.umask(before)
    mode = server.socket_path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert not mode & 0o077
