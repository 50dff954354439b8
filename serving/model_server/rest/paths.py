"""What a REST request's method and path ask for. The rules and refusals are the official server's."""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from serving.model_server.serving_map import ModelRequest
from serving.model_server.statuses import invalid_argument

_VERSION_OR_LABEL = r"(?:/versions/(\d+)|/labels/([^/:]+))?"
_PREDICTION = re.compile(
    rf"/v1/models/([^/:]+){_VERSION_OR_LABEL}:(classify|regress|predict)", re.IGNORECASE | re.ASCII
)
_STATUS = re.compile(rf"/v1/models(?:/([^/:]+))?{_VERSION_OR_LABEL}(?:/(metadata))?", re.IGNORECASE | re.ASCII)
_LARGEST_VERSION = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RestRequest:
    """One understood request: `predict`, `classify`, `regress`, `status` or `metadata` of a model."""

    action: str
    model: ModelRequest


def parse_path(method: str, path: str) -> RestRequest:
    """Read a request line's method and (still quoted) path below `/v1/`.

    Raises INVALID_ARGUMENT: `Malformed request`, a missing name, a version that no int64 holds.
    """
    pattern = {"POST": _PREDICTION, "GET": _STATUS}.get(method)
    match = pattern.fullmatch(path) if pattern else None
    if match is None:
        raise invalid_argument(f"Malformed request: {method} {path}")
    name, version, label, action = match.groups()
    if not name:
        raise invalid_argument("Missing model name in request.")
    if action is None:
        action = "status"
    return RestRequest(
        action=action.lower(),
        model=ModelRequest(name=_unquoted(name), version=_version(version), label=_unquoted(label or "")),
    )


def _version(text: str | None) -> int | None:
    if text is None:
        return None
    if int(text[:20]) > _LARGEST_VERSION or len(text) > 20:
        raise invalid_argument(f"Failed to convert version: {text} to numeric.")
    return int(text)


def _unquoted(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError as error:
        raise invalid_argument(f"Failed to decode model name:{text}") from error
