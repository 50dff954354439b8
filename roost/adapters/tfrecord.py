"""TFRecord files without TensorFlow: the container of its warm-up and request logs.

The format: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

import google_crc32c

from roost.contracts.errors import ArtifactInvalid

_LENGTH: Final = struct.Struct("<Q")
_CHECKSUM: Final = struct.Struct("<I")
_MASK_DELTA: Final = 0xA282EAD8


def encoded(records: Iterable[bytes]) -> bytes:
    """The records as one file."""
    return b"".join(
        part
        for record in records
        for length in (_LENGTH.pack(len(record)),)
        for part in (length, _checksum(length), record, _checksum(record))
    )


def decoded(content: bytes) -> Iterator[bytes]:
    """The records of a file.

    Raises:
        ArtifactInvalid: it is cut short, or a checksum does not match.
    """
    at = 0
    while at < len(content):
        length = content[at : at + _LENGTH.size]
        body_at = at + _LENGTH.size + _CHECKSUM.size
        if len(length) < _LENGTH.size or content[at + _LENGTH.size : body_at] != _checksum(length):
            raise ArtifactInvalid(f"not a TFRecord file: a length is damaged at byte {at}")
        end = body_at + _LENGTH.unpack(length)[0]
        record = content[body_at:end]
        if content[end : end + _CHECKSUM.size] != _checksum(record):
            raise ArtifactInvalid(f"not a TFRecord file: a record is damaged at byte {body_at}")
        yield record
        at = end + _CHECKSUM.size


def _checksum(content: bytes) -> bytes:
    crc = google_crc32c.value(content)
    return _CHECKSUM.pack(((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF)
