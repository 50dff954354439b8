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


#: What libevent, under the official server, answers outside the API.
NOT_FOUND = Answer(
    status=404,
    body=b"<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n",
    headers={"content-type": "text/html"},
    keep_alive=False,
)
