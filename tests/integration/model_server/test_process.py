"""The server as a process: its command line, its start, its end."""

import json
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import numpy as np
import pytest

from tests.integration.model_server.conftest import Start
from tests.integration.model_server.running import RunningServer, config, eventually

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]


def test_numbers_are_packed_where_it_is_asked(start: Start, saved_models: Path) -> None:
    """`--enable_serialization_as_tensor_content`."""
    server = start("--enable_serialization_as_tensor_content", models=config({"scale": saved_models / "scale"}))
    output = server.predict("scale", {"x": np.array([1.0], np.float32)}).outputs["y"]
    assert not output.float_val
    assert np.frombuffer(output.tensor_content, np.float32).tolist() == [3.0]


def test_an_empty_server_loads_the_runtime_and_not_its_python_api(start: Start) -> None:
    """That would take ten seconds of processor time at each start."""
    server = start(models="model_config_list {}")
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
    assert server.process.wait(timeout=60) == 0
    for thread in asking:
        thread.join(timeout=60)
    assert {each for each in outcomes if each != "ok"} <= {grpc.StatusCode.UNAVAILABLE}
    assert not server.socket_path.exists()


def test_it_stops_while_it_waits_for_a_model_that_never_comes(start: Start, tmp_path: Path) -> None:
    """A start that hangs, as officially, can still be ended in order."""
    server = start(models=config({"never": tmp_path / "never"}), ready=False)
    eventually(lambda: "Could not find base path" in server.log.read_text(), "the server waits")
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=60) == 0


def test_a_stale_socket_of_a_killed_server_is_taken_over(start: Start) -> None:
    """After kill -9 the file is still there; the next server listens all the same."""
    first = start(models="model_config_list {}")
    first.process.kill()
    first.process.wait(timeout=60)
    assert first.socket_path.exists()
    command = [sys.executable, "-m", "serving.model_server", "--port=0", f"--grpc_socket_path={first.socket_path}"]
    again = subprocess.Popen(
        [*command, f"--model_config_file={first.log.parent}/models.config"], stderr=subprocess.DEVNULL
    )
    try:
        with grpc.insecure_channel(f"unix:{first.socket_path}") as channel:
            grpc.channel_ready_future(channel).result(timeout=100)
    finally:
        again.terminate()
        assert again.wait(timeout=100) == 0


BODY = b'{"instances": [2]}'


def begin_request(server: RunningServer) -> socket.socket:
    """A connection whose request the server has begun to read, and whose body is still to come."""
    client = socket.create_connection(("127.0.0.1", server.rest_port), timeout=100)
    lines = [
        "POST /v1/models/scale:predict HTTP/1.1",
        "host: x",
        f"content-length: {len(BODY)}",
        "expect: 100-continue",
    ]
    client.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    assert b" 100 " in client.recv(65536)
    return client


def test_a_drain_answers_what_has_begun_and_lets_nobody_new_in(start: Start, saved_models: Path) -> None:
    """By REST too; the connection is closed after the answer."""
    server = start(models=config({"scale": saved_models / "scale"}))
    with begin_request(server) as client:
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: not server.open(), "nobody new is let in")
        assert server.process.poll() is None
        client.sendall(BODY)
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"predictions": [6.0]}
    assert server.process.wait(timeout=60) == 0


def test_a_second_sigterm_ends_the_drain(start: Start, saved_models: Path) -> None:
    """Without waiting for the requests under way."""
    server = start(models=config({"scale": saved_models / "scale"}))
    with begin_request(server) as client:
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: not server.open(), "the drain")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 128 + signal.SIGTERM
        assert client.recv(65536) == b""
