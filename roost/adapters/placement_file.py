"""The placement in a JSON file: ``{"otherwise": "default", "names": {"ua.default": "large"}}``."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from roost.contracts.errors import NodeUnavailable
from roost.contracts.placement import Placement


class PlacementFile:
    """Reads the file again whenever another one was put in its place. For one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._known: Placement | None = None

    def placement(self) -> Placement:
        """What the file says now; the same object as long as it is the same file.

        Raises:
            NodeUnavailable: the file is missing or breaks its form; the text names it.
        """
        try:
            facts = self._path.stat()
            stamp = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
            if self._known is not None and stamp == self._stamp:
                return self._known
            found = Placement.model_validate_json(self._path.read_bytes())
        except OSError as error:
            raise NodeUnavailable(f"the placement {self._path} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "file"
            raise NodeUnavailable(f"the placement {self._path} is not valid at {where}: {first['msg']}") from error
        self._stamp, self._known = stamp, found
        return found
