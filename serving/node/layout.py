"""Where a node keeps its files: ``<state>/nodes/<name>/``, and its sockets where their paths are short enough."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from roost.contracts.errors import SettingsInvalid
from roost.contracts.ids import check_id

#: Linux keeps a Unix socket's path in 108 bytes, the last of which is zero.
_SOCKET_PATH_BYTES = 107
_LONGEST_SOCKET_NAME = "model-server.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Paths of one node. Made absolute, so that no child depends on a working directory."""

    root: Path
    sockets: Path

    @classmethod
    def of(cls, state_dir: Path, pool: str, name: str) -> Layout:
        """Paths of the node `name`; the directories exist afterwards.

        Raises:
            SettingsInvalid: the state directory cannot be written.
        """
        check_id(pool, "pool id")
        root = state_dir.absolute() / "nodes" / check_id(name, "node name")
        sockets = root
        if len(str(root / _LONGEST_SOCKET_NAME).encode()) > _SOCKET_PATH_BYTES:
            tag = hashlib.sha256(str(root).encode()).hexdigest()[:12]
            sockets = Path(tempfile.gettempdir()) / f"roost-node-{tag}"
        layout = cls(root=root, sockets=sockets)
        try:
            for directory in (layout.cache, layout.incoming, layout.logs, layout.gateway):
                directory.mkdir(parents=True, exist_ok=True)
            sockets.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise SettingsInvalid(
                f"the node cannot write its state directory {root}: {error.strerror}; set ROOST_STATE_DIR"
            ) from error
        return layout

    @property
    def cache(self) -> Path:
        """``<served name>/<version>/…``, complete versions only: what the model server reads."""
        return self.root / "cache"

    @property
    def incoming(self) -> Path:
        """Versions being downloaded; on the same file system as the cache, so that a rename moves them."""
        return self.root / "incoming"

    @property
    def logs(self) -> Path:
        """Output of the children."""
        return self.root / "logs"

    @property
    def gateway(self) -> Path:
        """The gateway's own files."""
        return self.root / "gateway"

    @property
    def desired(self) -> Path:
        """The newest desired state taken up: the fence, and what is served while the store is down."""
        return self.root / "desired.json"

    @property
    def good(self) -> Path:
        """What the model server was last proved to serve."""
        return self.root / "good.json"

    @property
    def changes(self) -> Path:
        """What changed on this node, as JSON lines."""
        return self.root / "changes.jsonl"

    @property
    def boot_config(self) -> Path:
        """The model server's configuration file for its next start."""
        return self.root / "models.config"

    @property
    def monitoring_config(self) -> Path:
        """The model server's monitoring configuration."""
        return self.root / "monitoring.config"

    @property
    def addresses(self) -> Path:
        """Where the running node listens, as JSON: for people and scripts where ports were left free."""
        return self.root / "addresses.json"

    @property
    def lock(self) -> Path:
        """Held by the running node: two of one name would serve each other's files."""
        return self.root / "lock"

    @property
    def model_server_socket(self) -> Path:
        """Where the model server answers gRPC."""
        return self.sockets / _LONGEST_SOCKET_NAME

    @property
    def page_socket(self) -> Path:
        """Where the node's own page answers the gateway."""
        return self.sockets / "page.sock"

    @property
    def envoy_socket(self) -> Path:
        """Envoy's admin interface."""
        return self.sockets / "envoy.sock"
