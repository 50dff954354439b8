"""What goes back to an HTTP client."""

from collections.abc import Mapping
from dataclasses import dataclass, field

JSON = {"content-type": "application/json"}
TEXT = {"content-type": "text/plain"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer. Without `keep_alive` the connection ends with it."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    keep_alive: bool = True


def _page(status: int, phrase: str) -> Answer:
    """Return what libevent, under the official server, answers outside the API."""
    body = f"<HTML><HEAD>\n<TITLE>{status} {phrase}</TITLE>\n</HEAD><BODY>\n<H1>{phrase}</H1>\n</BODY></HTML>\n"
    return Answer(status=status, body=body.encode(), headers={"content-type": "text/html"}, keep_alive=False)


BAD_REQUEST = _page(400, "Bad Request")
NOT_FOUND = _page(404, "Not Found")
NOT_IMPLEMENTED = _page(501, "Not Implemented")
