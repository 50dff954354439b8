"""A node as its control port shows it: it is well, and serves the desired generation. No model server is behind it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from roost.contracts.acks import NodeState


class NodeDoor:
    """Answers ``GET /state`` on a loopback port. Close it."""

    def __init__(self, pool: str) -> None:
        state = NodeState(
            node="by-hand",
            pool=pool,
            generation=0,
            settled=True,
            converged=True,
            ready=True,
            rest_address="127.0.0.1:1",
            grpc_address="127.0.0.1:1",
        )
        content = state.model_dump_json().encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        port = int(self._server.server_address[1])
        #: Ports by the names that the directory looks for.
        self.ports = {"control": port, "rest": port, "grpc": port}

    def close(self) -> None:
        """Give the port back."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
