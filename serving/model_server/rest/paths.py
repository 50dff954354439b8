"""What a REST request's method and path ask for. The rules and refusals are the official server's."""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from serving.model_server.serving_map import ModelRequest
from serving.model_server.statuses import Code, StatusError, invalid_argument

_VERSION_OR_LABEL = r"(?:/versions/(\d+)|/labels/([^/:]+))?"
_PREDICTION = re.compile(
    rf"/v1/models/([^/:]+){_VERSION_OR_LABEL}:(classify|regress|predict)", re.IGNORECASE | re.ASCII
)
_STATUS = re.compile(rf"/v1/models(?:/([^/:]+))?{_VERSION_OR_LABEL}(?:/(metadata))?", re.IGNORECASE | re.ASCII)
#: What an address may be made of, by RFC 3986 as libevent reads it.
_ADDRESS = re.compile(
    r"(?:[\w\-.~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*(?:#(?:[\w\-.~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*)?", re.ASCII
)
_LARGEST_VERSION = 2**63 - 1
_METHODS, _METADATA = ("classify", "regress", "predict"), "metadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestRequest:
    """One understood request: `predict`, `classify`, `regress`, `status` or `metadata` of a model."""

    action: str
    model: ModelRequest


class UnreadablePath(StatusError):
    """A path whose parts cannot be read. The official server answers it with its status alone, without a body."""


def is_address(path: str) -> bool:
    """Whether a request's target is one at all."""
    return _ADDRESS.fullmatch(path) is not None


def parse_path(method: str, path: str) -> RestRequest:
    """Read a request line's method and (still quoted) path below `/v1/`.

    Raises INVALID_ARGUMENT: `Malformed request`, a missing name; UnreadablePath for a version that no int64 holds.
    Letters' case does not matter in a path, but for that of its method, as officially: `:PREDICT` is malformed, and
    `/METADATA` gives the status.
    """
    pattern = {"POST": _PREDICTION, "GET": _STATUS}.get(method)
    match = pattern.fullmatch(path) if pattern else None
    if match is None:
        raise invalid_argument(f"Malformed request: {method} {path}")
    name, version, label, action = match.groups()
    number = _version(version)
    if not name:
        raise invalid_argument("Missing model name in request.")
    if method == "POST" and action not in _METHODS:
        raise invalid_argument(f"Malformed request: {method} {path}")
    if method == "GET" and action != _METADATA:
        action = "status"
    return RestRequest(
        action=action, model=ModelRequest(name=_unquoted(name), version=number, label=_unquoted(label or ""))
    )


def _version(text: str | None) -> int | None:
    if text is None:
        return None
    if int(text[:20]) > _LARGEST_VERSION or len(text) > 20:
        raise UnreadablePath(Code.INVALID_ARGUMENT, f"Failed to convert version: {text} to numeric.")
    return int(text)


def _unquoted(text: str) -> str:
    # A name that is no UTF-8 is looked up, officially, and not found.
    return unquote_to_bytes(text).decode("utf-8", "replace")
