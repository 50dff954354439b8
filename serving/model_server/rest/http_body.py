"""A request's body as its handler gets it."""

import logging
import zlib
from collections.abc import Sequence

_LOG = logging.getLogger(__name__)

#: Bytes that a compressed body may become: the official server's own bound. Plain bodies have none there, nor here.
MOST_UNCOMPRESSED = 100_000_000
_GZIP = 16 + zlib.MAX_WBITS


def joined(chunks: Sequence[bytes], *, gzipped: bool) -> bytes:
    """Return a body from its pieces, uncompressed; empty where the compression is damaged or its content too large.

    The official server goes on with an empty body too, which ends as "The document is empty".
    """
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    if not gzipped or not body:
        return body
    unpacker = zlib.decompressobj(_GZIP)
    try:
        plain = unpacker.decompress(body, MOST_UNCOMPRESSED)
    except zlib.error as error:
        _LOG.warning("A gzipped body is damaged: %s", error)
        return b""
    if not unpacker.eof:
        _LOG.warning("A gzipped body is cut short, or larger than %s bytes", MOST_UNCOMPRESSED)
        return b""
    return plain
