"""Where the keys of tokens come from: a URL, or a file, which Envoy then serves to itself.

Envoy reads a key file that it is given for tokens once, but watches one that it is given as a fixed answer. So a door
of its own, on a Unix socket, answers with the file, and the filter fetches the keys there as it would from a URL: keys
are changed without a restart.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from roost.settings import TokenIssuer
from serving.gateway.config import GatewayConfig, issuers
from serving.gateway.messages import Message, endpoint, pipe_address, socket_address, typed
from serving.gateway.tls import secret, trust_file

_CLUSTER = "token_keys"
_SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_LARGEST_KEY_SET = 1024 * 1024


def cluster_name(place: int) -> str:
    """The cluster of whoever publishes the keys of the issuer at `place`, who has a URL."""
    return f"{_CLUSTER}_{place}"


def source(issuer: TokenIssuer, place: int) -> Message:
    """Where the token filter fetches the keys of the issuer at `place`, and how often: 5 s before they are too old."""
    url = issuer.jwks_url
    uri = {"uri": url, "cluster": cluster_name(place)} if url else {"uri": f"http://keys/{place}", "cluster": _CLUSTER}
    return {
        "http_uri": {**uri, "timeout": "5s"},
        "cache_duration": "300s" if url else "10s",
        # Fetched ahead of need. A URL is asked before the doors open; the door that has the file opens with the others.
        "async_fetch": {"fast_listener": not url, "failed_refetch_duration": "1s"},
        "retry_policy": {"num_retries": 2, "retry_back_off": {"base_interval": "0.2s", "max_interval": "1s"}},
    }


def clusters(config: GatewayConfig) -> list[Message]:
    """Who publishes the keys: each URL's host, and the gateway's own door for all files."""
    listed = list(enumerate(issuers(config.settings)))
    found = [_published(config, place, issuer, issuer.jwks_url) for place, issuer in listed if issuer.jwks_url]
    if _files(config):
        address = pipe_address(str(_socket(config)))
        found.append({"name": _CLUSTER, "type": "STATIC", "load_assignment": endpoint(_CLUSTER, address)})
    return found


def trust_files(config: GatewayConfig) -> dict[Path, str]:
    """Files that must stand beside the configuration: which authorities count where keys come from an https URL."""
    found: dict[Path, str] = {}
    for place, issuer in enumerate(issuers(config.settings)):
        if issuer.jwks_ca_file:
            found |= trust_file(config.work_dir, cluster_name(place), issuer.jwks_ca_file)
    return found


def _published(config: GatewayConfig, place: int, issuer: TokenIssuer, url: str) -> Message:
    parts = urlsplit(url)
    host, tls = parts.hostname or "", parts.scheme == "https"
    name = cluster_name(place)
    address = socket_address(host, parts.port or (443 if tls else 80))
    found: Message = {
        "name": name,
        "type": "STRICT_DNS",
        "connect_timeout": "5s",
        "load_assignment": endpoint(name, address),
    }
    if tls:
        trust = secret(config.work_dir, name) if issuer.jwks_ca_file else None
        found["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": _verified_tls(host, trust)}
    return found


def file_listeners(config: GatewayConfig) -> list[Message]:
    """The door that answers with the key files, to whoever opens its socket: public keys are no secret."""
    if not _files(config):
        return []
    routes = [_answer(place, file) for place, file in _files(config)]
    hosts = [{"name": "keys", "domains": ["*"], "routes": routes}]
    manager = {
        "stat_prefix": "keys",
        "route_config": {
            "name": "keys",
            "max_direct_response_body_size_bytes": _LARGEST_KEY_SET,
            "virtual_hosts": hosts,
        },
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": typed(_ROUTER, {})}],
    }
    name = "envoy.filters.network.http_connection_manager"
    door: Message = {
        "name": "keys",
        "address": pipe_address(str(_socket(config)), mode=0o600),
        "filter_chains": [{"filters": [{"name": name, "typed_config": typed(_MANAGER, manager)}]}],
    }
    return [door]


def _answer(place: int, file: Path) -> Message:
    body = {"filename": str(file.absolute()), "watched_directory": {"path": str(file.absolute().parent)}}
    return {"match": {"path": f"/{place}"}, "direct_response": {"status": 200, "body": body}}


def _files(config: GatewayConfig) -> list[tuple[int, Path]]:
    listed = enumerate(issuers(config.settings))
    return [(place, issuer.jwks_file) for place, issuer in listed if issuer.jwks_file]


def _socket(config: GatewayConfig) -> Path:
    return config.admin_socket.absolute().with_name("keys.sock")


def _verified_tls(host: str, trust: Message | None) -> Message:
    """TLS towards that host; `trust` is a secret with the authorities that count, and None is the system's own."""
    literal = _is_address(host)
    names = [{"san_type": "IP_ADDRESS" if literal else "DNS", "matcher": {"exact": host}}]
    verified: Message = {"match_typed_subject_alt_names": names}
    if trust is None:
        system = {"trusted_ca": {"filename": _SYSTEM_AUTHORITIES}}
        common: Message = {"validation_context": {**system, **verified}}
    else:
        combined = {"default_validation_context": verified, "validation_context_sds_secret_config": trust}
        common = {"combined_validation_context": combined}
    # A server name is a name: RFC 6066 has no addresses there.
    return typed(_TLS, {**({} if literal else {"sni": host}), "common_tls_context": common})


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
