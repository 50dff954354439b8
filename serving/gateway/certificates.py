"""Checks certificate and key files before Envoy gets them: its own complaint comes late and does not name the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from roost.adapters.grpc_tls import ClientTls
from roost.contracts.errors import SettingsInvalid
from roost.settings import GatewaySettings

_Content = TypeVar("_Content")


def check_tls(settings: GatewaySettings) -> None:
    """Whether the files of TLS can be used together. An expired certificate passes: Envoy serves it, clients refuse it.

    Raises:
        SettingsInvalid: naming the file and what is wrong with it.
    """
    certificate, key, authorities = settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file
    if (certificate is None) != (key is None):
        given = "tls_cert_file" if certificate else "tls_key_file"
        raise SettingsInvalid(f"gateway {given} is set alone: TLS needs both tls_cert_file and tls_key_file")
    if authorities and not certificate:
        raise SettingsInvalid("gateway tls_client_ca_file is set without tls_cert_file and tls_key_file: TLS is off")
    if certificate and key:
        _check_pair("gateway tls_cert_file", certificate, "gateway tls_key_file", key)
    check_authorities("gateway tls_client_ca_file", authorities)


def check_authorities(setting: str, file: Path | None) -> None:
    """Whether the file holds certificates of authorities, where one is set.

    Raises:
        SettingsInvalid: naming the setting, the file and what is wrong with it.
    """
    if file:
        _read(setting, file, x509.load_pem_x509_certificates, "PEM certificates")


def check_client(tls: ClientTls) -> None:
    """The same for asking gateways by TLS.

    Raises:
        SettingsInvalid: naming the file and what is wrong with it.
    """
    check_authorities("serving predict_ca_file", tls.ca_file)
    if tls.cert_file and tls.key_file:
        _check_pair("serving predict_cert_file", tls.cert_file, "serving predict_key_file", tls.key_file)


def _check_pair(certificate_setting: str, certificate: Path, key_setting: str, key: Path) -> None:
    first, *_ = _read(certificate_setting, certificate, x509.load_pem_x509_certificates, "PEM certificates")
    private = _read(key_setting, key, _private_key, "an unencrypted PEM private key")
    if _raw(first.public_key()) != _raw(private):
        raise SettingsInvalid(f"{key_setting} {key} does not belong to the certificate in {certificate}")


def _read(setting: str, file: Path, load: Callable[[bytes], _Content], what: str) -> _Content:
    try:
        return load(file.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise SettingsInvalid(f"{setting} {file} does not hold {what}: {error}") from error


def _private_key(content: bytes) -> PublicKeyTypes:
    """The public half of the private key in the PEM text."""
    return serialization.load_pem_private_key(content, password=None).public_key()


def _raw(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
