"""The placement in a JSON file: ``{"otherwise": "default", "names": {"ua.default": "large"}}``."""

from __future__ import annotations

from pathlib import Path

from roost.adapters.watched_file import WatchedFile
from roost.contracts.placement import Placement


class PlacementFile:
    """Reads the file again whenever another one was put in its place. For one thread."""

    def __init__(self, path: Path) -> None:
        self._file = WatchedFile(path, Placement, "the placement")

    def placement(self) -> Placement:
        """What the file says now; the same object as long as it is the same file.

        Raises:
            NodeUnavailable: the file is missing or breaks its form; the text names it.
        """
        return self._file.document()
