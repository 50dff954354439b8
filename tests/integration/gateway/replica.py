"""A stand-in for a node with its three ports. Each answer names the node."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc

from roost.ports.serving import NodeAddress


class _EveryMethod(grpc.GenericRpcHandler):
    """Answers every method with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(lambda _, __: self._answer)


class Replica:
    """A node's three ports: control, REST, gRPC. Each answer names the replica."""

    def __init__(self, name: str, pool: str = "default") -> None:
        self.ready = True
        self.broken = False
        self.asked = 0
        self._control = self._serve(self._readiness)
        self._rest = self._serve(self._answer)
        self._grpc = grpc.server(ThreadPoolExecutor(4))
        self._grpc.add_generic_rpc_handlers((_EveryMethod(name.encode()),))
        grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()
        self.address = NodeAddress(
            node=name,
            pool=pool,
            control=_at(self._control),
            rest=_at(self._rest),
            grpc=f"127.0.0.1:{grpc_port}",
        )

    def _readiness(self) -> tuple[int, bytes]:
        return (200 if self.ready else 503), b"{}"

    def _answer(self) -> tuple[int, bytes] | None:
        self.asked += 1
        # None: the connection breaks off without an answer, as a killed process leaves it.
        return None if self.broken else (200, json.dumps({"predictions": self.address.node}).encode())

    def _serve(self, answer: Callable[[], tuple[int, bytes] | None]) -> ThreadingHTTPServer:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # One packet an answer: without this, Nagle and delayed acknowledgements add 40 ms.
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                found = answer()
                if found is None:
                    self.close_connection = True
                    return
                self.send_response(found[0])
                self.send_header("content-length", str(len(found[1])))
                self.end_headers()
                self.wfile.write(found[1])

            do_POST = do_GET  # noqa: N815 (the name that http.server calls)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def close(self) -> None:
        for server in (self._control, self._rest):
            server.shutdown()
            server.server_close()
        self._grpc.stop(None).wait()


def _at(server: ThreadingHTTPServer) -> str:
    return f"127.0.0.1:{server.server_address[1]}"
