"""The deployer's process: its loops until it is told to stop, and its health."""

from __future__ import annotations

import threading
from contextlib import closing

from deployer.wiring import wired
from roost.settings import Settings
from roost.telemetry.health import HealthServer


def run(settings: Settings, stop: threading.Event) -> None:
    """The deployer, until `stop`. Raises `SettingsInvalid` where a setting or the policy file cannot be used."""
    with wired(settings, stop) as deployer:
        if deployer is None:
            return
        with closing(HealthServer(settings.health_host, settings.health_port, deployer.troubles)):
            deployer.run(stop)
