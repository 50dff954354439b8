"""Airflow's REST API as measured on 3.3: just the answers that its client must tell apart."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


@dataclass
class AirflowStandIn:
    """Handler of an `httpx.MockTransport`; `served` puts it on a port."""

    tokens: int = 0
    expired: set[str] = field(default_factory=set)
    runs: dict[tuple[str, str], dict[str, object]] = field(default_factory=dict)
    dags: set[str] = field(default_factory=lambda: {"train_customer_model", "retire_customer_models"})
    import_errors: bool = False
    #: Status to answer everything with, as a proxy or a start-up does.
    broken: int | None = None
    failed: dict[tuple[str, str], dict[str, str | None]] = field(default_factory=dict)
    bodies: list[dict[str, object]] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.broken:
            return httpx.Response(self.broken, text="upstream connect error")
        if request.url.path == "/auth/token":
            return self._token(request)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token != f"token-{self.tokens}" or token in self.expired:
            return httpx.Response(401, json={"detail": "Invalid JWT token"})
        # As the path was sent: a run id's colon or plus may not be taken for a separator.
        parts = request.url.raw_path.decode().split("/")
        dag = parts[4]
        if request.method == "GET":
            return self._get(dag, parts, dict(request.url.params))
        return self._start(dag, json.loads(request.content))

    def _get(self, dag: str, parts: list[str], params: dict[str, str]) -> httpx.Response:
        if len(parts) == 6:
            return self._failed_runs(dag, params)
        if len(parts) > 7:
            return self._tasks(dag, parts[6:], params)
        run_id = httpx.URL(f"http://x/{parts[6]}").path[1:]
        found = self.runs.get((dag, run_id))
        gone = f"The DagRun with dag_id: `{dag}` and run_id: `{run_id}` was not found"
        return httpx.Response(200, json=found) if found else httpx.Response(404, json={"detail": gone})

    def fail(self, dag: str, run_id: str, **reasons: str | None) -> None:
        """Let a run fail by these tasks; one without a reason left none."""
        self.runs[(dag, run_id)] |= {"state": "failed", "end_date": datetime.now(UTC).isoformat()}
        self.failed[(dag, run_id)] = reasons

    def _failed_runs(self, dag: str, params: dict[str, str]) -> httpx.Response:
        if params["state"] != "failed" or params["order_by"] != "end_date":
            return httpx.Response(400, json={"detail": "only what Roost asks for"})
        since = datetime.fromisoformat(params["end_date_gte"])
        ended = [(str(run.get("end_date")), run) for (one, _), run in self.runs.items() if one == dag]
        found = sorted(
            ((at, run) for at, run in ended if at != "None" and datetime.fromisoformat(at) >= since),
            key=lambda pair: pair[0],
        )
        rows = [run for _, run in found[: int(params["limit"])]]
        return httpx.Response(200, json={"dag_runs": rows, "total_entries": len(found)})

    def _tasks(self, dag: str, parts: list[str], params: dict[str, str]) -> httpx.Response:
        run_id = httpx.URL(f"http://x/{parts[0]}").path[1:]
        if (dag, run_id) not in self.runs:
            gone = f"DagRun with dag_id: `{dag}` and run_id: `{run_id}` was not found"
            return httpx.Response(404, json={"detail": gone})
        failed = self.failed.get((dag, run_id), {})
        if len(parts) == 2:
            rows = [{"task_id": task, "state": "failed", "map_index": -1} for task in failed]
            others = [{"task_id": "publish", "state": "upstream_failed", "map_index": -1}]
            return httpx.Response(
                200, json={"task_instances": rows + (others if params != {"state": "failed"} else [])}
            )
        reason = failed.get(parts[2]) if parts[3:] == ["xcomEntries", "failure"] else None
        missing = httpx.Response(404, json={"detail": "XCom entry with key: `failure` not found"})
        return missing if reason is None else httpx.Response(200, json={"key": "failure", "value": reason})

    def _token(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and json.loads(request.content) != {"username": "ann", "password": "secret"}:
            return httpx.Response(401, json={"detail": "Invalid credentials"})
        self.tokens += 1
        return httpx.Response(201, json={"access_token": f"token-{self.tokens}"})

    def _start(self, dag: str, body: dict[str, object]) -> httpx.Response:
        self.bodies.append(body)
        if dag not in self.dags:
            return httpx.Response(404, json={"detail": f"Dag with dag_id: '{dag}' not found"})
        if self.import_errors:
            return httpx.Response(
                400, json={"detail": f"Dag with dag_id: '{dag}' has import errors and cannot be triggered"}
            )
        if "logical_date" not in body:
            return httpx.Response(422, json={"detail": [{"loc": ["body", "logical_date"], "msg": "Field required"}]})
        conf = body["conf"]
        assert isinstance(conf, dict)
        if conf.get("customer_id") == "REFUSED":
            return httpx.Response(400, json={"detail": "Invalid input for param customer_id: does not match"})
        key = (dag, str(body["dag_run_id"]))
        if key in self.runs:
            return httpx.Response(409, json={"detail": {"reason": "Unique constraint violation"}})
        self.runs[key] = {"dag_run_id": key[1], "dag_id": dag, "state": "queued", "conf": conf, "note": body["note"]}
        return httpx.Response(200, json=self.runs[key])


@contextmanager
def served(airflow: AirflowStandIn) -> Iterator[str]:
    """The stand-in at an address of its own, for clients in other processes."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            url = f"http://{self.headers['Host']}{self.path}"
            found = airflow(httpx.Request(self.command, url, headers=dict(self.headers), content=content))
            self.send_response(found.status_code)
            self.send_header("Content-Length", str(len(found.content)))
            self.end_headers()
            self.wfile.write(found.content)

        do_GET = do_POST = answer  # noqa: N815 (the names are the server's)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is the server's)
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
