"""Who runs the gateway's Envoy: the node itself, as its child, or whoever runs the container beside it.

Beside the node, Envoy runs from its official image. What the two agree on is one file: Envoy runs as long as its
configuration is there, in the directory that both see. The container beside waits for the file before it starts
(`manifests/base/pool-default.yaml`), and is started again by the kubelet whenever it has ended.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from roost.contracts.errors import NodeUnavailable, SettingsInvalid
from roost.ports.clock import Clock
from serving.gateway.admin import GatewayAdmin
from serving.gateway.binary import BESIDE
from serving.gateway.live import BOOTSTRAP
from serving.node.child import Child
from serving.node.layout import Layout

#: What an Envoy of the node's life before gets to end. Seconds.
_RETIRE: Final = 10.0
#: Its doors close with it, some milliseconds after it has stopped to answer. Seconds.
_CLOSED: Final = 0.2
#: Between two looks at whether an Envoy that another one runs is there, or gone. Seconds.
_LOOK: Final = 0.05


class GatewayProcess(Protocol):
    """One run of Envoy after the other."""

    def start(self) -> None:
        """Have it run: its configuration is written. Returns at once. Raises `OSError` where that cannot be."""

    def ended(self) -> str | None:
        """Why it runs no longer; None while it does, or is about to."""

    def last_words(self) -> str:
        """What is known of why it does not come up."""

    def kill(self) -> None:
        """End it at once."""

    def stop(self, grace_seconds: float) -> None:
        """End it for good. Returns once it is gone, or that time is over."""


class OwnEnvoy:
    """Envoy as a child of this process. Starting is for a thread that lives as long as the node."""

    def __init__(self, words: Sequence[str], log: Path, admin_socket: Path, on_exit: Callable[[], None]) -> None:
        """`words` start it; `on_exit` is called, from another thread, when it has ended."""
        self._words = words
        self._log = log
        self._admin_socket = admin_socket
        self._on_exit = on_exit
        self._child: Child | None = None

    def start(self) -> None:
        """Start it."""
        self._admin_socket.unlink(missing_ok=True)
        self._child = Child(self._words, log=self._log, on_exit=self._on_exit)

    def ended(self) -> str | None:
        """With its last output."""
        if self._child is None or self._child.exit_code is None:
            return None
        return f"exit code {self._child.exit_code}; {self._child.last_words()}"

    def last_words(self) -> str:
        """The end of its output."""
        return self._child.last_words() if self._child else ""

    def kill(self) -> None:
        """By SIGKILL."""
        if self._child:
            self._child.kill()

    def stop(self, grace_seconds: float) -> None:
        """By SIGTERM, and SIGKILL where that does not do."""
        if self._child:
            self._child.terminate(grace_seconds)
        self._child = None


class EnvoyBeside:
    """Envoy in a container of its own, which shares this one's network and the node's directory."""

    def __init__(self, configuration: Path, admin_socket: Path, clock: Clock, on_exit: Callable[[], None]) -> None:
        """`configuration` is the file by which it runs; `on_exit` is called, from another thread, when it has ended."""
        self._configuration = configuration
        self._admin_socket = admin_socket
        self._admin = GatewayAdmin(admin_socket, deadline=1)
        self._clock = clock
        self._on_exit = on_exit
        self._ended = threading.Event()

    def start(self) -> None:
        """The file is there: whoever runs it does so now, if not before."""
        self._ended = threading.Event()
        threading.Thread(target=self._watch, args=(self._ended,), name="gateway-beside", daemon=True).start()

    def ended(self) -> str | None:
        """Nobody here sees how."""
        return f"its container ended; {self.last_words()}" if self._ended.is_set() else None

    def last_words(self) -> str:
        """They are in another container's log."""
        return f"the log of its container says more; it runs {self._configuration}"

    def kill(self) -> None:
        """Whoever runs it starts it again."""
        self._ended.set()
        with suppress(NodeUnavailable):
            self._admin.quit()

    def stop(self, grace_seconds: float) -> None:
        """Take the file away first: what is started again waits for the next one."""
        self._ended.set()
        self._configuration.unlink(missing_ok=True)
        end = self._clock.monotonic() + grace_seconds
        while self._clock.monotonic() < end:
            try:
                self._admin.quit()
            except NodeUnavailable:
                return
            self._clock.wait(_LOOK)

    def _watch(self, ended: threading.Event) -> None:
        """Hold a connection to it from its start to its end: the end of the one is the end of the other."""
        while not ended.is_set():
            with socket.socket(socket.AF_UNIX) as held:
                try:
                    held.connect(str(self._admin_socket))
                except OSError:
                    self._clock.wait(_LOOK, ended)
                    continue
                # It never says anything here by itself, until it ends; or closes what was idle for an hour.
                with suppress(OSError):
                    held.recv(1)
            if not self._admin.there():
                break
        if not ended.is_set():
            ended.set()
            self._on_exit()


def retire(layout: Layout, clock: Clock) -> None:
    """End what runs beside the node since an earlier life of it: it holds the doors, and knows a server that is gone.

    Raises:
        SettingsInvalid: the two cannot share sockets.
    """
    if layout.sockets != layout.root:
        raise SettingsInvalid(
            f"ROOST_SERVING__ENVOY is {BESIDE}, and the path {layout.root} is too long for sockets that another "
            "container can see: use a shorter ROOST_STATE_DIR or --name"
        )
    before = EnvoyBeside(layout.gateway / BOOTSTRAP, layout.envoy_socket, clock, lambda: None)
    held = GatewayAdmin(layout.envoy_socket).there()
    before.stop(_RETIRE)
    if held:
        clock.wait(_CLOSED)
