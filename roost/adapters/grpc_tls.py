"""TLS of a gRPC client, from files that may be replaced while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from roost.contracts.errors import SettingsInvalid
from roost.settings import ServingSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls:
    """Whom a client trusts, and the certificate that it shows where one is asked for."""

    ca_file: Path
    cert_file: Path | None = None
    key_file: Path | None = None
    #: The name in the server's certificate; None is the host of the address.
    name: str | None = None

    @classmethod
    def of(cls, settings: ServingSettings) -> ClientTls | None:
        """As the settings say; None where gateways are asked plainly.

        Raises:
            SettingsInvalid: a file cannot be read, or stands there without what belongs to it.
        """
        certificate, key = settings.predict_cert_file, settings.predict_key_file
        if (certificate is None) != (key is None):
            raise SettingsInvalid(
                "serving predict_cert_file and predict_key_file belong together: set both, or neither"
            )
        if settings.predict_ca_file is None:
            if certificate:
                raise SettingsInvalid("serving predict_cert_file is set without predict_ca_file, so TLS is off")
            return None
        found = cls(
            ca_file=settings.predict_ca_file, cert_file=certificate, key_file=key, name=settings.predict_tls_name
        )
        found.stamp()
        return found

    def stamp(self) -> tuple[int, ...]:
        """Changes when a file does.

        Raises:
            SettingsInvalid: naming the file that is not there.
        """
        try:
            return tuple(file.stat().st_mtime_ns for file in (self.ca_file, self.cert_file, self.key_file) if file)
        except OSError as error:
            raise SettingsInvalid(f"{error.filename} cannot be read: {error.strerror}") from error

    def open_channel(self, target: str, options: Sequence[tuple[str, object]]) -> grpc.Channel:
        """A channel to `target` with what the files hold now.

        Raises:
            SettingsInvalid: naming the file that cannot be read.
        """
        credentials = grpc.ssl_channel_credentials(
            root_certificates=_content(self.ca_file),
            private_key=_content(self.key_file) if self.key_file else None,
            certificate_chain=_content(self.cert_file) if self.cert_file else None,
        )
        named = [("grpc.ssl_target_name_override", self.name)] if self.name else []
        return grpc.secure_channel(target, credentials, options=[*options, *named])


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsInvalid(f"{file} cannot be read: {error.strerror}") from error
