"""Who asks, where proxies stand before the gateway: only those that are trusted may say it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from roost.settings import GatewaySettings
from tests.integration.gateway.running import Running, configured, logged, running
from tests.integration.gateway.stand_in import StandIn

pytestmark = pytest.mark.integration

PATH = "/v1/models/ua.default:predict"
#: Linux answers on all of 127.0.0.0/8, so that a test has as many machines as it wants.
PROXY, STRANGER = "127.0.0.2", "127.0.0.3"


@pytest.fixture(scope="module")
def behind(model_server: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Takes clients of 10.0.0.0/8 and 203.0.113.0/24; trusts one proxy before it, and a network of proxies before that."""
    directory = tmp_path_factory.mktemp("behind")
    settings = GatewaySettings(
        allow_cidrs=("10.0.0.0/8", "203.0.113.0/24"),
        trusted_proxies=(f"{PROXY}/32", "192.168.0.0/16"),
        access_log=directory / "access.log",
    )
    with running(configured(directory, socket=model_server.socket, rest=model_server.rest, settings=settings)) as it:
        yield it


def asked(gateway: Running, origin: str, forwarded: str | None, **headers: str) -> httpx.Response:
    transport = httpx.HTTPTransport(local_address=origin)
    if forwarded is not None:
        headers["x-forwarded-for"] = forwarded
    with httpx.Client(transport=transport, base_url=f"http://{gateway.config.rest}", timeout=60) as client:
        return client.post(PATH, json={}, headers=headers)


@pytest.mark.parametrize(
    ("origin", "forwarded", "status"),
    [
        (PROXY, "10.1.2.3", 200),
        (PROXY, "203.0.113.9", 200),
        (PROXY, "198.51.100.7", 403),
        (PROXY, "198.51.100.7, 192.168.4.4", 403),
        (PROXY, "10.1.2.3, 192.168.4.4", 200),
        # What the client wrote itself stands to the left of what the first trusted proxy saw.
        (PROXY, "10.1.2.3, 198.51.100.7", 403),
        (PROXY, "10.1.2.3, 198.51.100.7, 192.168.4.4", 403),
        (PROXY, "garbage, 198.51.100.7", 403),
        (PROXY, "garbage", 403),
        (PROXY, "", 403),
        (PROXY, None, 403),
        (STRANGER, "10.1.2.3", 403),
        (STRANGER, f"10.1.2.3, {PROXY}", 403),
        (STRANGER, None, 403),
    ],
)
def test_the_allow_list_counts_whom_a_trusted_proxy_names_and_whoever_else_connects(
    behind: Running, origin: str, forwarded: str | None, status: int
):
    assert asked(behind, origin, forwarded).status_code == status


def test_without_trusted_proxies_a_header_changes_nothing(model_server: StandIn, tmp_path: Path):
    settings = GatewaySettings(allow_cidrs=(f"{PROXY}/32",))
    with running(configured(tmp_path, socket=model_server.socket, rest=model_server.rest, settings=settings)) as it:
        assert asked(it, PROXY, "198.51.100.7").status_code == 200
        assert asked(it, STRANGER, PROXY).status_code == 403


def test_the_access_log_names_the_client_and_the_proxy(behind: Running):
    answer = asked(behind, PROXY, "10.9.8.7")
    log = behind.config.settings.access_log
    assert log is not None

    line = _logged(log, answer.headers["x-request-id"])

    assert (line["client"], line["peer"]) == ("10.9.8.7", PROXY)


def test_nobody_sets_the_headers_by_which_envoys_speak_to_each_other(behind: Running):
    """Behind a trusted proxy Envoy would believe them, and so let a client choose its own deadline and retries."""
    told = {"x-envoy-upstream-rq-timeout-ms": "1", "x-envoy-retry-on": "5xx", "x-envoy-original-path": "/forged"}

    answer = asked(behind, PROXY, "10.1.2.3", **told)

    assert answer.status_code == 200
    seen = answer.json()["headers"]
    # A client of a private network was taken for another Envoy: on a busy machine its own deadline struck.
    assert seen.keys().isdisjoint({"x-envoy-internal", "x-envoy-upstream-rq-timeout-ms", "x-envoy-retry-on"})
    assert seen.get("x-envoy-original-path") != "/forged"


def _logged(log: Path, request_id: str, seconds: float = 60) -> dict[str, object]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for line in logged(log):
            if line["request_id"] == request_id:
                return line
        time.sleep(0.05)
    raise AssertionError(f"{request_id} is not in the log")
