"""Recorded requests in an object store, as TFRecord files of TensorFlow Serving's own `PredictionLog`.

That is what `tensorflow_model_server` logs and warms up with: every tensor keeps its type and bits, and other tools of
TensorFlow read the files. One object holds what one node recorded of one served name in a while:
``recorded/<customer>/<model>/<time>-<node>.tfrecord``, so that names sort by time.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

from google.protobuf.message import DecodeError

from roost.adapters import tfrecord
from roost.adapters.tf_messages import (
    UnsupportedTensorError,
    array_from_tensor,
    packed_tensor_from_array,
    prediction_log_pb2,
)
from roost.contracts.errors import ArtifactInvalid, Conflict, NotFound
from roost.contracts.ids import check_id, recorded_prefix, split_served_name
from roost.ports.clock import Clock
from roost.ports.object_store import ObjectStore
from roost.ports.recordings import RecordedRequest

log = logging.getLogger(__name__)

_ROOT: Final = "recorded/"
_TIME: Final = "%Y%m%dT%H%M%S.%fZ"
_NAME: Final = re.compile(
    r"recorded/(?P<customer>[^/]+)/(?P<model>[^/]+)/(?P<time>\d{8}T\d{6}\.\d{6}Z)-[a-z0-9-]+\.tfrecord"
)


class StoredRecordings:
    """`Recordings` in any object store."""

    def __init__(self, store: ObjectStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def keep(self, name: str, requests: Sequence[RecordedRequest], *, node: str) -> None:
        """Add requests as one object."""
        prefix = recorded_prefix(*split_served_name(name))
        written = f"{prefix}{self._clock.now():{_TIME}}-{check_id(node, 'node name')}.tfrecord"
        content = tfrecord.encoded(_encoded(name, request) for request in requests)
        self._store.write(written, content, if_generation=0, metadata={"write_id": written})

    def newest(self, name: str, limit: int) -> Iterator[RecordedRequest]:
        """From the newest object backwards."""
        return islice(self._all(name), limit)

    def prune(self, *, now: datetime, keep: Callable[[str], timedelta]) -> int:
        """Go over all objects once."""
        pruned = 0
        for stored in self._store.list(_ROOT):
            match = _NAME.fullmatch(stored.name)
            if match is None:
                continue
            at = datetime.strptime(match["time"], _TIME).replace(tzinfo=UTC)
            if now - at < keep(match["customer"]):
                continue
            try:
                self._store.delete(stored.name, if_generation=stored.generation)
            except Conflict:
                continue
            pruned += 1
        return pruned

    def _all(self, name: str) -> Iterator[RecordedRequest]:
        prefix = recorded_prefix(*split_served_name(name))
        found = sorted((stored.name for stored in self._store.list(prefix)), key=_time_of, reverse=True)
        for written in found:
            try:
                content, _ = self._store.read(written)
                requests = [_decoded(record) for record in tfrecord.decoded(content)]
            except NotFound:
                continue
            except ArtifactInvalid as error:
                log.warning("%s: %s", self._store.uri(written), error, extra={"action": "recording_damaged"})
                continue
            yield from sorted(requests, key=lambda request: request.at, reverse=True)


def _time_of(written: str) -> str:
    return written.rpartition("/")[2]


def _encoded(name: str, request: RecordedRequest) -> bytes:
    entry = prediction_log_pb2.PredictionLog()
    asked = entry.predict_log.request
    asked.model_spec.name = name
    asked.model_spec.version.value = request.version
    asked.model_spec.signature_name = "serving_default"
    entry.log_metadata.timestamp_secs = int(request.at.timestamp())
    for field in sorted(request.inputs):
        asked.inputs[field].CopyFrom(packed_tensor_from_array(request.inputs[field]))
    return bytes(entry.SerializeToString(deterministic=True))


def _decoded(record: bytes) -> RecordedRequest:
    try:
        entry = prediction_log_pb2.PredictionLog.FromString(record)
        asked = entry.predict_log.request
        inputs = {field: array_from_tensor(asked.inputs[field]) for field in sorted(asked.inputs)}
    except (UnsupportedTensorError, DecodeError) as error:
        raise ArtifactInvalid(f"not a recorded request: {error}") from error
    return RecordedRequest(
        at=datetime.fromtimestamp(entry.log_metadata.timestamp_secs, tz=UTC),
        version=asked.model_spec.version.value,
        inputs=inputs,
    )
