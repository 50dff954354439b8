"""The small text-format files that flags name: monitoring and TLS.

Their messages do not ship in the Python package, so their descriptors are made here, field numbers as in the official
`monitoring_config.proto` and `ssl_config.proto`.
"""

import logging
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from serving.model_server.statuses import Code, StatusError, invalid_argument, not_found

_LOG = logging.getLogger(__name__)
_CODES = {
    FileNotFoundError: Code.NOT_FOUND,
    PermissionError: Code.PERMISSION_DENIED,
}
_FIELD = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "tensorflow.serving"


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="roost/side_files.proto", package=_PACKAGE, syntax="proto3")
    _message(file, "PrometheusConfig", ("enable", 1, _FIELD.TYPE_BOOL), ("path", 2, _FIELD.TYPE_STRING))
    _message(file, "MonitoringConfig", ("prometheus_config", 1, "PrometheusConfig"))
    _message(
        file,
        "SSLConfig",
        ("server_key", 1, _FIELD.TYPE_STRING),
        ("server_cert", 2, _FIELD.TYPE_STRING),
        ("custom_ca", 3, _FIELD.TYPE_STRING),
        ("client_verify", 4, _FIELD.TYPE_BOOL),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = [message.name for message in file.message_type]
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in names}


def _message(file: descriptor_pb2.FileDescriptorProto, name: str, *fields: tuple[str, int, int | str]) -> None:
    message = file.message_type.add(name=name)
    for field, number, kind in fields:
        added = message.field.add(name=field, number=number, label=_FIELD.LABEL_OPTIONAL)
        if isinstance(kind, str):
            added.type, added.type_name = _FIELD.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
        else:
            added.type = kind  # type: ignore[assignment]  # an enum's number


_MESSAGES = _messages()


def read_text(path: str) -> str:
    """Read a text file that a flag names. Raises StatusError, of the code that TensorFlow gives it."""
    try:
        return _mapped(Path(path)).decode()
    except OSError as error:
        raise StatusError(_CODES.get(type(error), Code.UNKNOWN), f"{path}; {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise invalid_argument(f"Invalid protobuf file: '{path}'") from error


def _mapped(path: Path) -> bytes:
    """Return a file's bytes, refusing what cannot be mapped into memory as the official server's reader does."""
    if path.is_dir():
        raise not_found(f"{path}; No such device")
    content = path.read_bytes()
    if not content:
        raise invalid_argument(f"{path}; Invalid argument")
    return content


def _read(path: str, name: str) -> Any:
    text = read_text(path)
    try:
        return text_format.Parse(text, _MESSAGES[name]())
    except text_format.ParseError as error:
        _LOG.error("Error parsing text-format tensorflow.serving.%s: %s", name, error)
        raise invalid_argument(f"Invalid protobuf file: '{path}'") from error


def metrics_path(path: str) -> str:
    """Return where a monitoring config switches the metrics page on; empty: nowhere.

    Raises NOT_FOUND, or INVALID_ARGUMENT where the file does not parse.
    """
    config = _read(path, "MonitoringConfig").prometheus_config
    return (config.path or "/monitoring/prometheus/metrics") if config.enable else ""


def tls_credentials(path: str) -> grpc.ServerCredentials:
    """Return the gRPC credentials that an SSL config gives: key, certificate, and the CA of clients if it asks for one.

    Raises StatusError where the file cannot be read, does not parse, or verifies clients by no CA.
    """
    config = _read(path, "SSLConfig")
    if config.client_verify and not config.custom_ca:
        raise invalid_argument(f"{path}: client_verify needs custom_ca, the certificate that signed the clients'")
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )
