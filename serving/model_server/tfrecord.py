"""Reading a TFRecord file without TensorFlow."""

import struct
from collections.abc import Iterator
from pathlib import Path

import google_crc32c

from serving.model_server.statuses import Code, StatusError

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8


def records(path: Path) -> Iterator[bytes]:
    """Yield the records of a TFRecord file. Raises DATA_LOSS where it is cut short or a checksum does not match.

    The format: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
    """
    with path.open("rb") as file:
        while header := file.read(_HEADER.size):
            if len(header) < _HEADER.size or not _matches(header[:8], header[8:]):
                raise _corrupted(path)
            length, _ = _HEADER.unpack(header)
            body = file.read(length)
            checksum = file.read(_FOOTER.size)
            if len(body) < length or len(checksum) < _FOOTER.size or not _matches(body, checksum):
                raise _corrupted(path)
            yield body


def _matches(content: bytes, checksum: bytes) -> bool:
    crc = google_crc32c.value(content)
    masked = ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF
    return bool(_FOOTER.pack(masked) == checksum)


def _corrupted(path: Path) -> StatusError:
    return StatusError(Code.DATA_LOSS, f"corrupted record in {path}")
