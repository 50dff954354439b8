"""Airflow's REST API as measured on 3.3: just the answers that its client must tell apart."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import httpx


@dataclass
class AirflowStandIn:
    """Handler of an `httpx.MockTransport`."""

    tokens: int = 0
    expired: set[str] = field(default_factory=set)
    runs: dict[tuple[str, str], dict[str, object]] = field(default_factory=dict)
    dags: set[str] = field(default_factory=lambda: {"train_customer_model", "retire_customer_models"})
    import_errors: bool = False
    #: Status to answer everything with, as a proxy or a start-up does.
    broken: int | None = None
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
            found = self.runs.get((dag, httpx.URL(f"http://x/{parts[6]}").path[1:]))
            return httpx.Response(200, json=found) if found else httpx.Response(404, json={"detail": "not found"})
        return self._start(dag, json.loads(request.content))

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
