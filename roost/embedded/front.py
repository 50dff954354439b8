"""The front of the local stack: what a Kubernetes Service is in production.

Renders its configuration, then is Envoy.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from roost import settings
from roost.adapters.node_directory import DirectoryFile
from roost.contracts.errors import SettingsInvalid
from serving.gateway.binary import command, find_envoy, validate
from serving.gateway.front import FrontConfig, render_front


def main(directory: Path, rest: str, grpc: str) -> None:
    """Write ``front.json`` into `directory` and become Envoy.

    Raises:
        SettingsInvalid: where the configuration cannot be used.
    """
    loaded = settings.load()
    if loaded.serving.directory_file is None:
        raise SettingsInvalid("the front needs ROOST_SERVING__DIRECTORY_FILE")
    nodes = DirectoryFile(loaded.serving.directory_file).nodes(loaded.serving.pool)
    directory.mkdir(parents=True, exist_ok=True)
    admin = directory / "front.sock"
    admin.unlink(missing_ok=True)
    config = FrontConfig(rest=rest, grpc=grpc, nodes=nodes, admin_socket=admin, settings=loaded.gateway)
    file = directory / "front.json"
    file.write_text(render_front(config))
    envoy = find_envoy(loaded.serving.envoy)
    validate(file, envoy)
    arguments = command(envoy, file)
    os.execv(arguments[0], arguments)  # noqa: S606 (the list is ours, and no shell is wanted)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
