"""Health of a process without a web server of its own."""

from __future__ import annotations

import pytest

from roost.contracts.errors import SettingsInvalid
from roost.telemetry.health import HealthServer


def test_a_port_that_is_taken_is_named_with_the_remedy() -> None:
    first = HealthServer("127.0.0.1", 0, dict)
    try:
        port = int(first.address.rpartition(":")[2])
        with pytest.raises(SettingsInvalid, match=f"127.0.0.1:{port} .*ROOST_HEALTH_PORT"):
            HealthServer("127.0.0.1", port, dict)
    finally:
        first.close()
