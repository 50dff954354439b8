"""A JSON file that is read again whenever another one was put in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from roost.contracts.errors import NodeUnavailable

#: Tells one content of the file from the next: inode, size, nanoseconds of the last change.
_Stamp = tuple[int, int, int]
Document = TypeVar("Document", bound=BaseModel)


class WatchedFile(Generic[Document]):
    """One document. For one thread at a time."""

    def __init__(self, path: Path, form: type[Document], what: str) -> None:
        """`what` is how messages name the file, such as ``the node directory``."""
        self._path = path
        self._form = form
        self._what = what
        self._read: tuple[_Stamp, Document] | None = None

    def document(self) -> Document:
        """What the file says now; the same object as long as it is the same file.

        Raises:
            NodeUnavailable: the file is missing or breaks its form; the text names it.
        """
        try:
            facts = self._path.stat()
            stamp = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
            if self._read is None or self._read[0] != stamp:
                self._read = stamp, self._form.model_validate_json(self._path.read_bytes())
        except OSError as error:
            raise NodeUnavailable(f"{self._what} {self._path} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "file"
            raise NodeUnavailable(f"{self._what} {self._path} is not valid at {where}: {first['msg']}") from error
        return self._read[1]
