"""What one gateway is: where it listens, what stands behind it, who may ask."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import jwt

from roost.adapters.grpc_tls import ClientTls
from roost.contracts.errors import SettingsInvalid
from roost.contracts.ids import InvalidId, check_id
from roost.settings import GatewaySettings, TokenIssuer
from serving.gateway.certificates import check_authorities, check_client, check_tls

#: Linux keeps the path of a Unix socket in 108 bytes, the last of which is zero.
_SOCKET_PATH_BYTES = 107


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A listening or connecting address. `host` is an IP literal: nothing in the path waits for DNS."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, what: str) -> Address:
        """The address in ``host:port`` (``[::1]:8500`` for IPv6).

        Raises:
            SettingsInvalid: naming `what`, the value and the form.
        """
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        try:
            ipaddress.ip_address(host)
        except ValueError:
            colon = ""
        if not colon or not port.isdecimal() or not 0 < int(port) <= 65535:
            raise SettingsInvalid(
                f"gateway {what} {text!r} is not usable: give an IP address and a port, 127.0.0.1:8501"
            )
        return cls(host=host, port=int(port))


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """One gateway. Addresses are ``host:port`` with an IP literal and a port that is not 0.

    Raises:
        SettingsInvalid: on creation, naming what cannot be used and what to give instead.
    """

    #: Where clients speak TensorFlow Serving's REST API.
    rest: str
    #: Where clients speak its gRPC API (plain HTTP/2).
    grpc: str
    #: The model server's gRPC socket.
    upstream_grpc_socket: Path
    #: The model server's REST port.
    upstream_rest: str
    #: Where Envoy's admin interface listens: a Unix socket that only its owner opens. There is no admin port.
    admin_socket: Path
    settings: GatewaySettings
    #: Directory of files that belong to this gateway; the node keeps the rendered configuration here.
    work_dir: Path
    #: Where the node's own page answers. None: the gateway has no routes to it.
    page_socket: Path | None = None
    #: The pool's models have one version each, a candidate, and no label: it answers also who asks for the stable one.
    candidates: bool = False
    #: How the gateways of candidates are asked, where they speak TLS.
    tls: ClientTls | None = None

    def __post_init__(self) -> None:
        for what in ("rest", "grpc", "upstream_rest"):
            Address.parse(getattr(self, what), what)
        for socket in filter(None, (self.upstream_grpc_socket, self.admin_socket, self.page_socket)):
            if len(str(socket.absolute()).encode()) > _SOCKET_PATH_BYTES:
                raise SettingsInvalid(
                    f"the socket path {socket} is longer than {_SOCKET_PATH_BYTES} bytes: use a shorter state_dir"
                )
        check_settings(self.settings)
        if self.tls:
            check_client(self.tls)

    @property
    def asks_for_tokens(self) -> bool:
        """Whether a request needs a token."""
        return bool(issuers(self.settings))


def issuers(settings: GatewaySettings) -> tuple[TokenIssuer, ...]:
    """All whose tokens count; the first one's keys, issuer and audience are settings of their own."""
    file, url = settings.jwks_file, settings.jwks_url
    if not file and not url:
        return settings.issuers
    first = TokenIssuer(
        issuer=settings.issuer,
        audience=settings.audience,
        jwks_file=file,
        jwks_url=url,
        jwks_ca_file=settings.jwks_ca_file,
    )
    return (first, *settings.issuers)


def check_settings(settings: GatewaySettings) -> None:
    """Whether these settings can be used, as far as one machine can tell.

    Raises:
        SettingsInvalid: naming the setting and what to give instead.
    """
    if not settings.allow_cidrs:
        raise SettingsInvalid("gateway allow_cidrs is empty, so nobody could ask: list networks, or 0.0.0.0/0 and ::/0")
    _check_networks("allow_cidrs", settings.allow_cidrs)
    _check_networks("trusted_proxies", settings.trusted_proxies)
    _check_authority(settings)
    for issuer in issuers(settings):
        _check_issuer(issuer)
    names = [issuer.issuer for issuer in issuers(settings)]
    if len(set(names)) < len(names):
        raise SettingsInvalid(f"gateway issuers: one is listed twice among {', '.join(names)}")
    for customer, rate in settings.customer_rates.items():
        _check_rate(customer, rate)
    check_tls(settings)


def _check_issuer(issuer: TokenIssuer) -> None:
    if issuer.jwks_file and issuer.jwks_url:
        raise SettingsInvalid(
            f"gateway jwks_file and jwks_url of {issuer.issuer} are both set: name one source of keys"
        )
    _check_authority(issuer)
    if issuer.jwks_file:
        _check_keys(issuer.jwks_file)
        return
    url = urlsplit(issuer.jwks_url or "")
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise SettingsInvalid(
            f"gateway jwks_url {issuer.jwks_url!r} of {issuer.issuer} is not an http or https address"
        )


def _check_authority(issuer: TokenIssuer | GatewaySettings) -> None:
    if issuer.jwks_ca_file and not (issuer.jwks_url or "").startswith("https://"):
        raise SettingsInvalid(
            f"gateway jwks_ca_file of {issuer.issuer} is set without an https address in jwks_url: nothing is verified"
        )
    check_authorities("gateway jwks_ca_file", issuer.jwks_ca_file)


def _check_rate(customer: str, rate: int) -> None:
    try:
        check_id(customer, "customer id")
    except InvalidId as error:
        raise SettingsInvalid(f"gateway customer_rates: {error}") from error
    if rate < 1:
        raise SettingsInvalid(f"gateway customer_rates: {customer} has {rate} requests per second; the least is 1")


def _check_networks(setting: str, networks: tuple[str, ...]) -> None:
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise SettingsInvalid(f"gateway {setting}: {network!r} is not a network: {error}") from error


def _check_keys(file: Path) -> None:
    try:
        jwt.PyJWKSet.from_json(file.read_text())
    except (OSError, ValueError, jwt.PyJWTError) as error:
        raise SettingsInvalid(f"gateway jwks_file {file} holds no set of public keys: {error}") from error
