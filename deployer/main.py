"""The deployer's process: its loops until it is told to stop, and its health."""

from __future__ import annotations

import threading
from contextlib import closing

from deployer.loops import Deployer
from deployer.wiring import wired
from roost.settings import Settings
from roost.telemetry.health import HealthServer


def run(settings: Settings, stop: threading.Event) -> None:
    """The deployer, until `stop`. Raises `SettingsInvalid` where a setting or the policy file cannot be used."""
    started: list[Deployer] = []

    def troubles() -> dict[str, str | None]:
        return started[0].troubles() if started else {"object store": "does not answer yet; nothing begins without it"}

    # Alive before its dependencies are there: who is ended for waiting comes back later than they do.
    with closing(HealthServer(settings.health_host, settings.health_port, troubles)), wired(settings, stop) as deployer:
        if deployer is None:
            return
        started.append(deployer)
        deployer.run(stop)
