"""Says why the keys of tokens cannot be fetched: Envoy only counts it, and refuses every token meanwhile."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from typing import Final

from roost.contracts.errors import NodeUnavailable
from roost.settings import GatewaySettings
from roost.telemetry import metrics
from serving.gateway.config import issuers
from serving.gateway.keys import cluster_name

log = logging.getLogger(__name__)

_EVERY_SECONDS: Final = 5.0
_SAMPLE: Final = re.compile(
    r'^envoy_cluster_(\w+)\{(?:envoy_response_code_class="(\d)",)?envoy_cluster_name="([^"]+)"\} (\d+)$'
)
_FETCHED: Final = "upstream_rq_2xx"
#: What a cluster counts where a fetch fails, the cause that tells most first, and what it means.
_CAUSES: Final = {
    "ssl_fail_verify_error": "its certificate is of no authority that counts here: {authority}",
    "ssl_fail_verify_san": "its certificate is for another name",
    "ssl_connection_error": "it speaks no TLS, or none that is safe",
    "upstream_cx_connect_fail": "nobody answers there",
    "upstream_cx_connect_timeout": "nobody answers there",
    "upstream_rq_4xx": "it refuses (4xx)",
    "upstream_rq_5xx": "it fails (5xx)",
    "upstream_rq_timeout": "it takes longer than five seconds",
}


class KeyWatch:
    """Looks at the fetches of each issuer's keys from a URL; logs once that they fail, and once that they do not."""

    def __init__(self, settings: GatewaySettings, statistics: Callable[[], str]) -> None:
        """`statistics` gives Envoy's, in Prometheus' text form. Raises `NodeUnavailable`."""
        self._statistics = statistics
        self._watched = {
            cluster_name(place): issuer for place, issuer in enumerate(issuers(settings)) if issuer.jwks_url
        }
        self._last: dict[str, dict[str, int]] = {}
        self._said: dict[str, str] = {}

    def step(self) -> None:
        """Look once. A gateway that is away says nothing."""
        if not self._watched:
            return
        try:
            page = self._statistics()
        except NodeUnavailable:
            return
        found: dict[str, dict[str, int]] = {name: {} for name in self._watched}
        for statistic, kind, name, count in (each.groups() for each in map(_SAMPLE.match, page.splitlines()) if each):
            if name in found:
                found[name][statistic.replace("_xx", f"_{kind}xx")] = int(count)
        for name, counted in found.items():
            self._compare(name, self._last.get(name, {}), counted)
        self._last = found

    def _compare(self, name: str, before: dict[str, int], now: dict[str, int]) -> None:
        # A count that fell is that of a fresh gateway.
        rose = {
            what: count for what, count in now.items() if count > before.get(what, 0) or count < before.get(what, 0)
        }
        if _FETCHED in rose:
            self._tell(name, "")
            return
        cause = next((words for what, words in _CAUSES.items() if rose.get(what)), "")
        if cause:
            metrics.GATEWAY_KEYS_MISSED.inc()
            # Envoy counts an answer of its own, too, where it reached nobody, and perhaps after this look.
            told = self._said.get(name, "")
            self._tell(name, told if told and cause == _CAUSES["upstream_rq_5xx"] else cause)

    def _tell(self, name: str, cause: str) -> None:
        if self._said.get(name, "") == cause:
            return
        self._said[name] = cause
        issuer = self._watched[name]
        if not cause:
            log.info("keys of %s are fetched again", issuer.issuer, extra={"action": "keys_fetched"})
            return
        authority = (
            f"ROOST_GATEWAY__JWKS_CA_FILE is {issuer.jwks_ca_file or 'not set, so the system trusts whom it does'}"
        )
        log.error(
            "keys of %s cannot be fetched from %s: %s; tokens of theirs are refused once the last keys are too old",
            *(issuer.issuer, issuer.jwks_url, cause.format(authority=authority)),
            extra={"action": "keys_not_fetched"},
        )

    def start(self, stop: threading.Event) -> None:
        """Look every few seconds until `stop`, on a thread of its own."""

        def run() -> None:
            while not stop.wait(_EVERY_SECONDS):
                self.step()

        if self._watched:
            threading.Thread(target=run, name="key-watch", daemon=True).start()
