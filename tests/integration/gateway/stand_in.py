"""A stand-in for the model server: it answers each request with what it got, so that tests see what the gateway sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc


class _EchoServer(ThreadingHTTPServer):
    daemon_threads = True
    #: Whether connections end with their next answer.
    ending = False


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One packet an answer: without this, Nagle and delayed acknowledgements add 40 ms.
    wbufsize = -1
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        seen = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": body.decode(),
        }
        answer = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        if isinstance(self.server, _EchoServer) and self.server.ending:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 (the names that http.server calls)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _EchoCalls(grpc.GenericRpcHandler):
    """Answers every method with the request's own bytes."""

    def __init__(self) -> None:
        self.metadata: dict[str, str] = {}

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        self.metadata = dict(details.invocation_metadata)
        return grpc.unary_unary_rpc_method_handler(lambda request, _context: request)


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """Where the stand-in listens."""

    socket: Path
    rest: str
    calls: _EchoCalls


@contextmanager
def grpc_echo(socket: Path) -> Iterator[_EchoCalls]:
    """The gRPC half on a Unix socket. It ends as a model server that is told to: what it has, it answers."""
    handler = _EchoCalls()
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", 64 * 1024 * 1024)])
    server.add_generic_rpc_handlers([handler])
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    try:
        yield handler
    finally:
        server.stop(5).wait(60)


@contextmanager
def rest_echo(port: int = 0) -> Iterator[str]:
    """The REST half on a loopback port; its ``host:port``. It ends as gently as the other half."""
    server = _EchoServer(("127.0.0.1", port), _Echo)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        # First the door, then the connections: nobody stands in a queue that is thrown away.
        server.shutdown()
        server.server_close()
        server.ending = True
        thread.join(60)


@contextmanager
def stand_in(directory: Path) -> Iterator[StandIn]:
    """Both halves."""
    socket = directory / "model.sock"
    with grpc_echo(socket) as calls, rest_echo() as rest:
        yield StandIn(socket=socket, rest=rest, calls=calls)


@contextmanager
def slow_stand_in(socket: Path, go_on: threading.Event) -> Iterator[str]:
    """Answers nobody before it may go on. Its REST address."""

    class Slow(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            go_on.wait(120)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class SlowCalls(grpc.GenericRpcHandler):
        def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(lambda request, _: go_on.wait(120) and request)

    calls = grpc.server(ThreadPoolExecutor(4))
    calls.add_generic_rpc_handlers([SlowCalls()])
    calls.add_insecure_port(f"unix:{socket}")
    calls.start()
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as rest:
        thread = threading.Thread(target=rest.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"127.0.0.1:{rest.server_port}"
        finally:
            go_on.set()
            rest.shutdown()
            thread.join(60)
            calls.stop(1).wait(60)
