"""`/healthz`, `/readyz` and `/metrics` of a process that has no web server of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from roost.contracts.errors import SettingsInvalid

#: Part of the process to None where it is well, else one sentence that says what is wrong.
Readiness = Callable[[], Mapping[str, str | None]]


class HealthServer:
    """Answers on its own thread. Alive as long as the process is; ready when no part complains."""

    def __init__(self, host: str, port: int, readiness: Readiness) -> None:
        """Listen at once; port 0 takes a free one. Raises `SettingsInvalid` where the port is taken."""
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(readiness))
        except OSError as error:
            raise SettingsInvalid(
                f"health cannot listen on {host}:{port} ({error.strerror}): "
                "free it, or set ROOST_HEALTH_PORT to another port, or to 0 for any"
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """``host:port``."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def _handler(readiness: Readiness) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/healthz":
                self._answer(200, "application/json", b'{"status":"alive"}')
            elif self.path == "/readyz":
                parts = dict(readiness())
                wrong = {name: text for name, text in parts.items() if text}
                body = json.dumps({"ready": not wrong, "parts": parts}).encode()
                self._answer(503 if wrong else 200, "application/json", body)
            elif self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            else:
                self._answer(404, "text/plain", b"try /healthz, /readyz or /metrics\n")

        def _answer(self, code: int, kind: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            # One line per poll would drown what matters.
            return

    return Handler
