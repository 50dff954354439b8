"""Steers a running gateway through Envoy's admin interface, which listens on a Unix socket only."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from roost.contracts.errors import NodeUnavailable
from serving.gateway.configuration import DIGEST
from serving.gateway.routes import GRPC_CLUSTER, REST_CLUSTER

#: What a listener counts as under way, in Envoy's own names.
_ACTIVE = ("http.rest.downstream_rq_active", "http.grpc.downstream_rq_active")
#: What the clusters of the model server count, in milliseconds.
_TIMES = f"^cluster\\.({REST_CLUSTER}|{GRPC_CLUSTER})\\.upstream_rq_time$"
_COUNTED = "downstream_rq_(completed|5xx)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What one door has answered. Failed: 5xx, and such gRPC statuses; not what the client did wrong."""

    total: int
    failed: int


class GatewayAdmin:
    """One gateway's admin interface. Each call takes at most `deadline` seconds."""

    def __init__(self, socket: Path, *, deadline: float = 5) -> None:
        self._socket = socket
        self._deadline = deadline

    def ready(self) -> bool:
        """Whether the gateway takes requests now: false while it starts, drains, or is not there."""
        try:
            return self._call("GET", "/ready").is_success
        except NodeUnavailable:
            return False

    def drain(self) -> None:
        """Tell clients to go elsewhere: `/healthz` answers 503, and each answer closes its connection.

        Requests are still taken and answered, so that none fails before load balancers have seen it. Idempotent.

        Raises:
            NodeUnavailable: if the gateway did not take it.
        """
        self._checked("POST", "/healthcheck/fail")

    def undrain(self) -> None:
        """Take back `drain`.

        Raises:
            NodeUnavailable: if the gateway did not take it.
        """
        self._checked("POST", "/healthcheck/ok")

    def stop_listening(self) -> None:
        """Refuse new connections for good; what is under way goes on. The step between `drain` and the end.

        Raises:
            NodeUnavailable: if the gateway did not take it.
        """
        self._checked("POST", "/drain_listeners")

    def quit(self) -> None:
        """Have it end at once, whatever is under way.

        Raises:
            NodeUnavailable: there is none, or it did not take it.
        """
        self._checked("POST", "/quitquitquit")

    def there(self) -> bool:
        """Whether a gateway listens, ready or not."""
        try:
            self._knock()
        except NodeUnavailable:
            return False
        return True

    def configuration(self) -> str:
        """Which bootstrap it was started with: the digest that the file says of itself.

        Raises:
            NodeUnavailable: if the gateway did not answer.
        """
        node = self._checked("GET", "/server_info").json()["node"]
        return str(node.get("metadata", {}).get(DIGEST, ""))

    def in_flight(self) -> int:
        """Requests under way. Envoy does not wait for them when it is told to end, so whoever ends it does.

        Raises:
            NodeUnavailable: if the gateway did not answer.
        """
        stats = self._checked("GET", "/stats?filter=downstream_rq_active&format=json").json()["stats"]
        return sum(int(stat["value"]) for stat in stats if stat.get("name") in _ACTIVE)

    def versions(self) -> dict[str, str]:
        """Which version of each file that changes Envoy goes by, and how many clusters are not ready yet.

        By Envoy's names of the statistics.

        Raises:
            NodeUnavailable: if the gateway did not answer.
        """
        stats = self._checked("GET", "/stats?filter=version_text|warming_clusters&format=json").json()["stats"]
        return {str(stat["name"]): str(stat["value"]) for stat in stats if "name" in stat}

    def answers(self) -> Mapping[str, Answers]:
        """Door (``rest``, ``grpc``) to what it has answered since this gateway started.

        Raises:
            NodeUnavailable: if the gateway did not answer.
        """
        stats = self._checked("GET", f"/stats?filter={_COUNTED}&format=json").json()["stats"]
        values = {stat["name"]: int(stat["value"]) for stat in stats if "name" in stat}
        clusters = self._checked("GET", "/clusters?format=json").json()["cluster_statuses"]
        errors = {cluster["name"]: _errors(cluster) for cluster in clusters}
        counted = {door: values.get(f"http.{door}.downstream_rq_completed", 0) for door in ("rest", "grpc")}
        # A gRPC failure is HTTP 200 with a status behind it: only the router, which reads that, counts it.
        failed = {"rest": values.get("http.rest.downstream_rq_5xx", 0), "grpc": errors.get(GRPC_CLUSTER, 0)}
        return {door: Answers(total=total, failed=failed[door]) for door, total in counted.items()}

    def latencies(self) -> Mapping[float, int]:
        """Upper bound in seconds to the requests that the model server answered within it and above the bound below.

        Counted since this gateway started, each to about a tenth of its length, brought up to date once a second.

        Raises:
            NodeUnavailable: if the gateway did not answer.
        """
        stats = self._checked("GET", f"/stats?filter={_TIMES}&format=json&histogram_buckets=detailed").json()["stats"]
        counted: dict[float, int] = {}
        for histogram in (each for stat in stats for each in stat.get("histograms", {}).get("details", ())):
            for bucket in histogram["totals"]:
                bound = (bucket["lower_bound"] + bucket["width"]) / 1000
                counted[bound] = counted.get(bound, 0) + int(bucket["count"])
        return counted

    def stats(self) -> str:
        """All statistics in Prometheus' text form.

        Raises:
            NodeUnavailable: if the gateway did not answer.
        """
        return self._checked("GET", "/stats/prometheus").text

    def _checked(self, method: str, path: str) -> httpx.Response:
        response = self._call(method, path)
        if not response.is_success:
            raise NodeUnavailable(f"the gateway behind {self._socket} answered {path} with {response.status_code}")
        return response

    def _call(self, method: str, path: str) -> httpx.Response:
        self._knock()
        # No TLS on a Unix socket; and to load the authorities for it would take longer than the call.
        transport = httpx.HTTPTransport(uds=str(self._socket), verify=False)
        with httpx.Client(transport=transport, base_url="http://gateway", timeout=self._deadline) as client:
            try:
                return client.request(method, path)
            except httpx.TransportError as error:
                raise NodeUnavailable(f"the gateway behind {self._socket} did not answer {path}: {error!r}") from error

    def _knock(self) -> None:
        # httpcore leaves a Unix socket open that it could not connect; this one is closed.
        with socket.socket(socket.AF_UNIX) as knocking:
            try:
                knocking.connect(str(self._socket))
            except OSError as error:
                raise NodeUnavailable(f"no gateway listens on {self._socket}: {error.strerror}") from error


def _errors(cluster: dict[str, Any]) -> int:
    stats = [stat for host in cluster.get("host_statuses", ()) for stat in host.get("stats", ())]
    return sum(int(stat.get("value", 0)) for stat in stats if stat["name"] == "rq_error")
