"""The server as a process: its command line, its start, its end."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest

from tests.integration.model_server.conftest import Start
from tests.integration.model_server.running import config, eventually, free_port

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "serving.model_server", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_without_a_model_it_prints_its_flags_and_ends() -> None:
    """Neither a config file nor a base path is an error."""
    done = run("--port=0")
    assert done.returncode != 0
    assert "--model_config_file=" in done.stdout


def test_a_flag_of_the_wrong_type_is_named() -> None:
    """The message names flag and value."""
    done = run("--port=many", "--model_base_path=/x")
    assert done.returncode != 0
    assert "Couldn't interpret value many for flag port." in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list { config { nam", "Error parsing text-format tensorflow.serving.ModelServerConfig"),
        (
            'model_config_list { config { name: "m" base_path: "/nowhere" model_platform: "torch" } }',
            "Model m requests unsupported platform torch",
        ),
        (None, "No such file or directory"),
    ],
)
def test_a_config_that_cannot_be_used_ends_the_start_with_its_reason(
    tmp_path: Path, text: str | None, message: str
) -> None:
    """On stderr, with a failing exit code."""
    file = tmp_path / "models.config"
    if text is not None:
        file.write_text(text)
    done = run("--port=0", f"--grpc_socket_path={tmp_path}/s", f"--model_config_file={file}")
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_fails_at_the_start_ends_the_process(tmp_path: Path) -> None:
    """As officially: a restart with one bad entry is an outage, which is why configs are tried on one node first."""
    (tmp_path / "bad" / "1").mkdir(parents=True)
    (tmp_path / "models.config").write_text(config({"bad": tmp_path / "bad"}))
    done = run(
        "--port=0",
        f"--grpc_socket_path={tmp_path}/s",
        f"--model_config_file={tmp_path}/models.config",
        "--max_num_load_retries=0",
    )
    assert done.returncode != 0
    assert "1 model(s) did not become available: {{{name: bad version: 1} due to error: NOT_FOUND" in done.stderr


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """Neither way in starts silently without its port."""
    import socket

    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "models.config").write_text("model_config_list {}")
        arguments = (f"--model_config_file={tmp_path}/models.config", f"--grpc_socket_path={tmp_path}/s")
        for flags in ((f"--port={port}",), ("--port=0", f"--rest_api_port={port}")):
            done = run(*arguments, *flags)
            assert done.returncode != 0
            assert str(port) in done.stderr


def test_one_model_by_flags_on_a_tcp_port_with_unknown_flags(start: Start, saved_models: Path) -> None:
    """`--model_name` and `--model_base_path`; what it does not know it says and ignores."""
    port = free_port()
    server = start(
        f"--port={port}",
        "--model_name=mine",
        f"--model_base_path={saved_models / 'scale'}",
        "--no_such_flag=1",
        "--enable_batching",
        "--enable_grpc_healthcheck_service",
    )
    assert server.scale("mine") == 3
    assert "unknown argument: --no_such_flag=1" in server.log.read_text()
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_numbers_are_packed_where_it_is_asked(start: Start, saved_models: Path) -> None:
    """`--enable_serialization_as_tensor_content`."""
    server = start("--enable_serialization_as_tensor_content", models=config({"scale": saved_models / "scale"}))
    output = server.predict("scale", {"x": np.array([1.0], np.float32)}).outputs["y"]
    assert not output.float_val
    assert np.frombuffer(output.tensor_content, np.float32).tolist() == [3.0]


def test_an_empty_server_is_ready_within_seconds(start: Start) -> None:
    """TensorFlow's Python API is not imported: that alone would take longer."""
    began = time.monotonic()
    server = start(models="model_config_list {}")
    assert time.monotonic() - began < 20
    maps = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "_pywrap_tensorflow" in maps or "libtensorflow" in maps
    assert "h5py" not in maps


def test_sigterm_lets_requests_under_way_finish(start: Start, saved_models: Path) -> None:
    """None that was accepted fails; the socket is gone; the exit code is 0."""
    server = start(models=config({"scale": saved_models / "scale"}))
    values = {"x": np.ones(200_000, np.float32)}
    outcomes: list[object] = []

    def ask() -> None:
        while True:
            try:
                server.predict("scale", values)
            except grpc.RpcError as error:
                outcomes.append(error.code())
                return
            outcomes.append("ok")

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    eventually(lambda: len(outcomes) > 5, "answers")
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=20) == 0
    for thread in asking:
        thread.join(timeout=60)
    assert {each for each in outcomes if each != "ok"} <= {grpc.StatusCode.UNAVAILABLE}
    assert not server.socket_path.exists()


def test_it_stops_while_it_waits_for_a_model_that_never_comes(start: Start, tmp_path: Path) -> None:
    """A start that hangs, as officially, can still be ended in order."""
    server = start(models=config({"never": tmp_path / "never"}), ready=False)
    eventually(lambda: "Could not find base path" in server.log.read_text(), "the server waits")
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=20) == 0


def test_a_stale_socket_of_a_killed_server_is_taken_over(start: Start) -> None:
    """After kill -9 the file is still there; the next server listens all the same."""
    first = start(models="model_config_list {}")
    first.process.kill()
    first.process.wait(timeout=20)
    assert first.socket_path.exists()
    command = [sys.executable, "-m", "serving.model_server", "--port=0", f"--grpc_socket_path={first.socket_path}"]
    again = subprocess.Popen(
        [*command, f"--model_config_file={first.log.parent}/models.config"], stderr=subprocess.DEVNULL
    )
    try:
        with grpc.insecure_channel(f"unix:{first.socket_path}") as channel:
            grpc.channel_ready_future(channel).result(timeout=30)
    finally:
        again.terminate()
        assert again.wait(timeout=20) == 0
