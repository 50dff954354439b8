"""TLS of both doors, and towards gateways behind this one, from files that may be replaced while connections are open.

Envoy reads certificates anew only if they come as secrets from outside its own configuration. So each stands in a small
file beside it, which names the certificate's files and the directory to watch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from roost.adapters.grpc_tls import ClientTls
from roost.settings import GatewaySettings
from serving.gateway.messages import Message, typed

_PLAIN = "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
#: Of the newest protocol first; REST clients may choose, gRPC clients speak only h2.
_PROTOCOLS = {"rest": ["h2", "http/1.1"], "grpc": ["h2"]}


def transport_socket(settings: GatewaySettings, directory: Path, door: str) -> Message | None:
    """How a door speaks TLS, with `secret_files` in `directory`; None where it speaks plainly."""
    if settings.tls_cert_file is None:
        return None
    common: Message = {
        # Below it nothing is safe; the ciphers are Envoy's own choice, which its releases keep current.
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "alpn_protocols": _PROTOCOLS[door],
        "tls_certificate_sds_secret_configs": [secret(directory, "certificate")],
    }
    mutual = settings.tls_client_ca_file is not None
    if mutual:
        common["validation_context_sds_secret_config"] = secret(directory, "clients")
    content = {"common_tls_context": common, "require_client_certificate": mutual}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed(f"{_TLS}.DownstreamTlsContext", content),
    }


def secret_files(settings: GatewaySettings, directory: Path, client: ClientTls | None = None) -> dict[Path, str]:
    """The files that must stand beside the configuration when Envoy reads it, with their content.

    `client` is how gateways behind this one are asked.
    """
    secrets: dict[str, Message] = {}
    if settings.tls_cert_file and settings.tls_key_file:
        secrets["certificate"] = _pair(settings.tls_cert_file, settings.tls_key_file)
    if settings.tls_client_ca_file:
        secrets["clients"] = _trust(settings.tls_client_ca_file)
    if client:
        secrets["gateways"] = _trust(client.ca_file)
        if client.cert_file and client.key_file:
            secrets["own"] = _pair(client.cert_file, client.key_file)
    return dict(_written(directory, name, content) for name, content in secrets.items())


def trust_file(directory: Path, name: str, authorities: Path) -> dict[Path, str]:
    """One more such file, of the secret with that name: whom to trust."""
    return dict([_written(directory, name, _trust(authorities))])


def to_gateways(tls: ClientTls, hosts: Sequence[str], directory: Path) -> Message:
    """Fields of a cluster of gateways that speak TLS, at these addresses, with `secret_files` in `directory`."""
    names = (
        [{"san_type": "DNS", "matcher": {"exact": tls.name}}]
        if tls.name
        else [{"san_type": "IP_ADDRESS", "matcher": {"exact": host}} for host in sorted(set(hosts))]
    )
    # Whom to trust is in a file that may be replaced; which of them is meant is of this cluster alone.
    trust = {
        "default_validation_context": {"match_typed_subject_alt_names": names},
        "validation_context_sds_secret_config": secret(directory, "gateways"),
    }
    common: Message = {"combined_validation_context": trust}
    if tls.cert_file and tls.key_file:
        common["tls_certificate_sds_secret_configs"] = [secret(directory, "own")]
    content: Message = {"common_tls_context": common, **({"sni": tls.name} if tls.name else {})}
    secured = typed(f"{_TLS}.UpstreamTlsContext", content)
    return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": secured}}


def plainly_checked(health: Message) -> Message:
    """Fields of a cluster that speaks TLS, whose health check goes elsewhere and does not."""
    plain = {"name": "envoy.transport_sockets.raw_buffer", "typed_config": typed(_PLAIN, {})}
    return {
        "transport_socket_matches": [{"name": "health", "match": {"health": True}, "transport_socket": plain}],
        "health_checks": [{**health, "transport_socket_match_criteria": {"health": True}}],
    }


def _pair(certificate: Path, key: Path) -> Message:
    pair = {
        "certificate_chain": {"filename": str(certificate.absolute())},
        "private_key": {"filename": str(key.absolute())},
        "watched_directory": {"path": str(certificate.absolute().parent)},
    }
    return {"tls_certificate": pair}


def _trust(authorities: Path) -> Message:
    file = authorities.absolute()
    trust = {"trusted_ca": {"filename": str(file)}, "watched_directory": {"path": str(file.parent)}}
    return {"validation_context": trust}


def secret(directory: Path, name: str) -> Message:
    """The secret of that name, from its file in `directory`."""
    source = {"path_config_source": {"path": str(_file(directory, name))}, "resource_api_version": "V3"}
    return {"name": name, "sds_config": source}


def _file(directory: Path, name: str) -> Path:
    return directory.absolute() / f"tls-{name}.json"


def _written(directory: Path, name: str, content: Message) -> tuple[Path, str]:
    found = typed(f"{_TLS}.Secret", {"name": name, **content})
    return _file(directory, name), json.dumps({"resources": [found]}, indent=2) + "\n"
