"""`ObjectStore` over one bucket of Google Cloud Storage."""

from __future__ import annotations

import io
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, TypeVar

import stamina

from roost.adapters.gcs.errors import translated, worth_another_try
from roost.adapters.gcs.transfer import Sink, crc_of, facts
from roost.contracts.errors import Conflict, NotFound, RoostError, StorageUnavailable
from roost.ports.object_store import StoredObject
from roost.settings import StorageSettings

if TYPE_CHECKING:
    from google.cloud import storage

log = logging.getLogger(__name__)
_T = TypeVar("_T")

_CONNECT_SECONDS: Final = 5.0
#: Longest silence of the store within one attempt.
_READ_SECONDS: Final = 20.0
#: Bytes up to which Google's client uploads in one request; above, in a resumable session.
_ONE_REQUEST: Final = 8 * 1024 * 1024


class GcsObjectStore:
    """`ObjectStore` over one bucket. Safe for threads."""

    def __init__(self, client: storage.Client, settings: StorageSettings) -> None:
        self._client = client
        self._bucket = client.bucket(settings.bucket)
        self._deadline = settings.deadline_seconds
        self._once = {
            "timeout": (min(_CONNECT_SECONDS, self._deadline), min(_READ_SECONDS, self._deadline)),
            "retry": None,  # `_ask` retries, with one deadline over all
        }
        self._checks_first = settings.endpoint is not None

    def ensure_bucket(self) -> None:
        """Make the bucket where it is missing."""
        try:
            self._ask("", partial(self._bucket.reload, **self._once))
        except NotFound:
            try:
                self._ask("", partial(self._client.create_bucket, self._bucket, **self._once))
            except Conflict:
                log.debug("another process made the bucket %s", self._bucket.name)

    def uri(self, name: str) -> str:
        """``gs://bucket/name``."""
        return f"gs://{self._bucket.name}/{name}"

    def read(self, name: str) -> tuple[bytes, StoredObject]:
        """Whole content."""
        buffer = io.BytesIO()
        stored = self._download(name, buffer)
        return buffer.getvalue(), stored

    def read_to(self, name: str, path: Path) -> StoredObject:
        """Stream into a new file, which is removed again if the download fails."""
        with path.open("xb") as file:
            try:
                return self._download(name, file)
            except BaseException:
                path.unlink(missing_ok=True)
                raise

    def stat(self, name: str) -> StoredObject | None:
        """The object's facts."""
        blob = self._ask(name, partial(self._bucket.get_blob, name, **self._once))
        return facts(blob) if blob is not None else None

    def write(
        self, name: str, content: bytes, *, if_generation: int, metadata: Mapping[str, str] | None = None
    ) -> StoredObject:
        """Create or replace."""
        return self._upload(name, lambda: io.BytesIO(content), if_generation, metadata)

    def write_from(
        self, name: str, path: Path, *, if_generation: int, metadata: Mapping[str, str] | None = None
    ) -> StoredObject:
        """The same from a file."""
        return self._upload(name, lambda: path.open("rb"), if_generation, metadata)

    def copy(self, source: str, target: str, *, if_generation: int) -> StoredObject:
        """Copy within the store. Content and metadata, so the `write_id` too, are the source's."""
        found = self.stat(source)
        if found is None:
            raise NotFound(f"{self.uri(source)} does not exist")

        def rewrite() -> StoredObject:
            blob = self._bucket.blob(target)
            token = None
            self._check_first(target, if_generation)
            while True:
                token, _, _ = blob.rewrite(
                    self._bucket.blob(source), token=token, if_generation_match=if_generation, **self._once
                )
                if token is None:
                    blob.reload(**self._once)
                    return facts(blob)

        return self._write(target, rewrite, if_generation, found.metadata, found.crc32c)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """All objects under the prefix, a page at a time."""
        token = None
        while True:
            blobs, token = self._ask(prefix, partial(self._page, prefix, token))
            yield from map(facts, blobs)
            if token is None:
                return

    def delete(self, name: str, *, if_generation: int) -> None:
        """Delete that generation."""

        def attempt() -> None:
            self._check_first(name, if_generation, 0)
            self._bucket.blob(name).delete(if_generation_match=if_generation, **self._once)

        try:
            self._ask(name, attempt)
        except NotFound:
            log.debug("%s is gone already", name)

    def _check_first(self, name: str, *allowed: int) -> None:
        """Fake-gcs-server checks preconditions of one-request uploads only; the others are checked here, for it.

        Google checks them all, atomically, and is not asked twice.
        """
        if not self._checks_first:
            return
        blob = self._bucket.get_blob(name, **self._once)
        if (int(blob.generation) if blob is not None else 0) not in allowed:
            raise Conflict(f"{self.uri(name)} is not at generation {allowed[0]}")

    def _page(self, prefix: str, token: str | None) -> tuple[Sequence[storage.Blob], str | None]:
        found = self._client.list_blobs(self._bucket, prefix=prefix, page_token=token, **self._once)
        page = next(found.pages, None)
        return (list(page) if page is not None else []), found.next_page_token

    def _download(self, name: str, file: IO[bytes]) -> StoredObject:
        def attempt() -> StoredObject:
            blob = self._bucket.get_blob(name, **self._once)
            if blob is None:
                raise NotFound(f"{self.uri(name)} does not exist")
            stored = facts(blob)
            file.seek(0)
            file.truncate()
            sink = Sink(file, seconds=self._deadline)
            # The facts and the content are two requests: the precondition keeps them one.
            blob.download_to_file(
                sink, raw_download=True, checksum=None, if_generation_match=stored.generation, **self._once
            )
            if sink.crc32c != stored.crc32c:
                raise StorageUnavailable(f"{self.uri(name)} arrived damaged: its CRC is not {stored.crc32c}")
            return stored

        return self._ask(name, attempt, replaced=True)

    def _upload(
        self, name: str, opened: Callable[[], IO[bytes]], generation: int, metadata: Mapping[str, str] | None
    ) -> StoredObject:
        marked = {"write_id": uuid.uuid4().hex, **(metadata or {})}
        with opened() as file:
            crc32c, size = crc_of(file), file.tell()

        def attempt() -> StoredObject:
            if size > _ONE_REQUEST:
                self._check_first(name, generation)
            blob = self._bucket.blob(name)
            blob.metadata = marked
            with opened() as file:
                blob.upload_from_file(
                    file,
                    size=size,
                    content_type="application/octet-stream",
                    checksum="crc32c",
                    if_generation_match=generation,
                    **self._once,
                )
            return facts(blob)

        return self._write(name, attempt, generation, marked, crc32c)

    def _write(
        self, name: str, attempt: Callable[[], StoredObject], generation: int, metadata: Mapping[str, str], crc32c: str
    ) -> StoredObject:
        try:
            return self._ask(name, attempt)
        except Conflict:
            found = self.stat(name)
            write_id = metadata.get("write_id")
            ours = found is not None and write_id is not None and found.metadata.get("write_id") == write_id
            if found is None or not ours or found.crc32c != crc32c:
                at = f"at generation {found.generation}" if found else "missing"
                raise Conflict(f"{self.uri(name)} is {at}, not at generation {generation}") from None
            log.info("%s holds this very write already", name, extra={"action": "own_write"})
            return found

    def _ask(self, name: str, call: Callable[[], _T], *, replaced: bool = False) -> _T:
        """Make the call until it answers. `replaced`: an object replaced meanwhile (412) is worth another try."""
        waits = stamina.retry_context(
            on=lambda error: worth_another_try(error, replaced=replaced),
            attempts=None,
            timeout=self._deadline,
            wait_initial=0.1,
            wait_max=5.0,
            wait_jitter=0.5,
        )
        try:
            for attempt in waits:
                with attempt:
                    return call()
        except RoostError:
            raise
        except Exception as error:
            raise translated(error, self.uri(name)) from error
        raise AssertionError("the last attempt returns or raises")
