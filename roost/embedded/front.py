"""The front of the local stack: what a Kubernetes Service is in production, and the way to several pools.

Keeps Envoy as a child and follows the files that list nodes and placement: a change ends no connection.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from roost import process, settings
from roost.adapters.grpc_tls import ClientTls
from roost.adapters.node_directory import DirectoryFile
from roost.adapters.placement_file import PlacementFile
from roost.contracts.errors import NodeUnavailable, Retryable, SettingsInvalid
from roost.contracts.placement import Placement
from roost.embedded.positionals import positionals
from roost.ports.clock import Clock, SystemClock
from roost.ports.serving import NodeAddress
from roost.settings import Settings
from serving.gateway.admin import GatewayAdmin
from serving.gateway.binary import command, find_envoy, validate
from serving.gateway.front import FrontConfig, front
from serving.gateway.live import LiveFiles
from serving.node.child import Child

log = logging.getLogger(__name__)

#: Between two looks at the files. Seconds.
_LOOK: Final = 0.5
#: For Envoy to take up one file: ten thousand names take half a second, a hundred thousand three.
_TAKE_UP: Final = 30.0
#: For requests under way at the end.
_GRACE: Final = 5.0


class FrontEnded(Retryable):
    """Envoy is gone. Whoever started this process starts it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What the files say."""

    nodes: Sequence[NodeAddress]
    placement: Placement | None


class Front:
    """One front. For one thread, which must live as long as the process."""

    def __init__(self, directory: Path, rest: str, grpc: str, *, loaded: Settings, clock: Clock) -> None:
        """`directory` holds the admin socket, and the configuration in a directory of its own.

        Raises:
            SettingsInvalid: no file lists the nodes.
        """
        if loaded.serving.directory_file is None:
            raise SettingsInvalid("the front needs ROOST_SERVING__DIRECTORY_FILE")
        self._home = directory / "front"
        self._socket = directory / "front.sock"
        self._rest, self._grpc = rest, grpc
        self._settings = loaded
        self._tls = ClientTls.of(loaded.serving)
        self._clock = clock
        self._nodes = DirectoryFile(loaded.serving.directory_file)
        placement = loaded.serving.placement_file
        self._placement = PlacementFile(placement) if placement else None
        self._files = LiveFiles(self._home, GatewayAdmin(self._socket), clock, deadline=_TAKE_UP)
        self._fault: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Send requests on until `stop`.

        Raises:
            SettingsInvalid: the files at the start cannot be used.
            FrontEnded: Envoy ended.
        """
        self._home.mkdir(parents=True, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        envoy = find_envoy(self._settings.serving.envoy)
        followed = self._wanted()
        file = self._files.start(front(self._config(followed)))
        validate(file, envoy)
        child = Child(command(envoy, file), log=self._home / "envoy.log", on_exit=lambda: None)
        try:
            while not self._clock.wait(_LOOK, stop):
                if child.exit_code is not None:
                    raise FrontEnded(f"Envoy ended with {child.exit_code}: {child.last_words()}")
                followed = self._follow(followed)
        finally:
            child.terminate(_GRACE)

    def _follow(self, followed: _Wanted) -> _Wanted:
        """What Envoy follows now. Where the files are broken or Envoy does not take them up, it goes on as it was."""
        try:
            wanted = self._wanted()
            if wanted == followed:
                return followed
            seconds = self._files.change(front(self._config(wanted)))
        except (NodeUnavailable, SettingsInvalid) as error:
            if str(error) != self._fault:
                log.warning("the front stays as it is: %s", error, extra={"action": "front_unchanged"})
            self._fault = str(error)
            return followed
        self._fault = None
        facts = {"action": "front_changed", "nodes": len(wanted.nodes), "seconds": round(seconds, 3)}
        log.info("the front follows its files after %.0f ms", seconds * 1000, extra=facts)
        return wanted

    def _wanted(self) -> _Wanted:
        placement = self._placement.placement() if self._placement else None
        pools = placement.pools if placement else (self._settings.serving.pool,)
        nodes = [node for pool in pools for node in self._nodes.nodes(pool)]
        return _Wanted(nodes=nodes, placement=placement)

    def _config(self, wanted: _Wanted) -> FrontConfig:
        return FrontConfig(
            rest=self._rest,
            grpc=self._grpc,
            nodes=wanted.nodes,
            admin_socket=self._socket,
            settings=self._settings.gateway,
            placement=wanted.placement,
            tls=self._tls,
        )


def main(arguments: list[str]) -> int:
    """Run a front until a signal; the exit code. Entry of `python -m roost.embedded.front DIRECTORY REST GRPC`."""
    meanings = {
        "directory": "what it writes",
        "rest": "host:port of its REST door",
        "grpc": "host:port of its gRPC door",
    }
    directory, rest, grpc = positionals("roost.embedded.front", __doc__, arguments, **meanings)
    loaded = settings.load()

    def body(stop: threading.Event) -> None:
        Front(Path(directory), rest, grpc, loaded=loaded, clock=SystemClock()).run(stop)

    return process.run("front", loaded, body)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
