"""Reading a TFRecord file without TensorFlow."""

import struct
from collections.abc import Iterator
from pathlib import Path

import google_crc32c

from serving.model_server.statuses import Code, StatusError

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8


class DamagedRecords(StatusError):
    """A file that is not what TensorFlow wrote, or not all of it: DATA_LOSS."""

    def __init__(self, message: str) -> None:
        """Say what is damaged."""
        super().__init__(Code.DATA_LOSS, message)


def records(path: Path) -> Iterator[bytes]:
    """Yield the records of a TFRecord file.

    Raises DamagedRecords, in TensorFlow's words, where one is cut short or a checksum does not match. A file that
    breaks off within a record's header ends there, as in TensorFlow.
    The format: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
    """
    at = 0
    with path.open("rb") as file:
        while len(header := file.read(_HEADER.size)) == _HEADER.size:
            if not _matches(header[:8], header[8:]):
                raise _corrupted(at)
            length, _ = _HEADER.unpack(header)
            body = file.read(length)
            checksum = file.read(_FOOTER.size)
            if len(body) < length or len(checksum) < _FOOTER.size:
                raise DamagedRecords(f"truncated record at {at}' failed with Read less bytes than requested")
            if not _matches(body, checksum):
                raise _corrupted(at + _HEADER.size)
            yield body
            at += _HEADER.size + length + _FOOTER.size


def _matches(content: bytes, checksum: bytes) -> bool:
    crc = google_crc32c.value(content)
    masked = ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF
    return bool(_FOOTER.pack(masked) == checksum)


def _corrupted(at: int) -> DamagedRecords:
    guess = "" if at else " (Is this even a TFRecord file?)"
    return DamagedRecords(f"corrupted record at {at}{guess}")
