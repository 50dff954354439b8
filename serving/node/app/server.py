"""Serves the page on a Unix socket that only the gateway beside it opens."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from roost.contracts.errors import SettingsInvalid

_BACKLOG: Final = 1024
#: Seconds that requests under way are given at the end; the gateway has let them run out before.
_GRACE: Final = 5


class AppServer:
    """One server, in a thread of its own."""

    def __init__(self, path: Path) -> None:
        """Take the socket at once.

        Raises:
            SettingsInvalid: its path cannot be used.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.unlink(missing_ok=True)
            # The mode is set before anybody can connect: a socket that is not listening refuses.
            self._socket.bind(str(path))
            path.chmod(0o600)
            self._socket.listen(_BACKLOG)
        except OSError as error:
            self._socket.close()
            raise SettingsInvalid(f"the socket {path} cannot be used: {error.strerror}") from error
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, app: ASGIApp) -> None:
        """Begin to answer."""
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            # The gateway keeps connections for 30 s of silence: it must be the one that closes them.
            timeout_keep_alive=60,
            timeout_graceful_shutdown=_GRACE,
        )
        self._server = uvicorn.Server(config)
        arguments = {"sockets": [self._socket]}
        self._thread = threading.Thread(target=self._server.run, kwargs=arguments, name="app", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what is under way, and stop answering."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(_GRACE + 1)
        self._socket.close()
