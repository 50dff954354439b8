"""Where the keys of tokens come from: a URL, or a file, which Envoy then serves to itself.

Envoy reads a key file that it is given for tokens once, but watches one that it is given as a fixed answer. So a door
of its own, on a Unix socket, answers with the file, and the filter fetches the keys there as it would from a URL: keys
are changed without a restart.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from roost.settings import GatewaySettings
from serving.gateway.config import GatewayConfig
from serving.gateway.messages import Message, endpoint, pipe_address, socket_address, typed

_CLUSTER = "token_keys"
_SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_LARGEST_KEY_SET = 1024 * 1024


def source(settings: GatewaySettings) -> Message:
    """Where the token filter fetches the keys, and how often. Envoy fetches 5 s before they would be too old."""
    by_url = settings.jwks_url is not None
    return {
        "http_uri": {"uri": settings.jwks_url or "http://keys/", "cluster": _CLUSTER, "timeout": "5s"},
        "cache_duration": "300s" if by_url else "10s",
        # Fetched ahead of need. A URL is asked before the doors open; the door that has the file opens with the others.
        "async_fetch": {"fast_listener": not by_url, "failed_refetch_duration": "1s"},
        "retry_policy": {"num_retries": 2, "retry_back_off": {"base_interval": "0.2s", "max_interval": "1s"}},
    }


def cluster(config: GatewayConfig) -> Message:
    """Who publishes the keys."""
    if config.settings.jwks_url is None:
        address = pipe_address(str(_socket(config)))
        return {"name": _CLUSTER, "type": "STATIC", "load_assignment": endpoint(_CLUSTER, address)}
    parts = urlsplit(config.settings.jwks_url)
    host, tls = parts.hostname or "", parts.scheme == "https"
    address = socket_address(host, parts.port or (443 if tls else 80))
    found: Message = {
        "name": _CLUSTER,
        "type": "STRICT_DNS",
        "connect_timeout": "5s",
        "load_assignment": endpoint(_CLUSTER, address),
    }
    if tls:
        found["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": _verified_tls(host)}
    return found


def file_listener(config: GatewayConfig, file: Path) -> Message:
    """The door that answers with the key file, to whoever opens its socket: public keys are no secret."""
    file = file.absolute()
    body = {"filename": str(file), "watched_directory": {"path": str(file.parent)}}
    routes = [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": body}}]
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
    return {
        "name": "keys",
        "address": pipe_address(str(_socket(config)), mode=0o600),
        "filter_chains": [{"filters": [{"name": name, "typed_config": typed(_MANAGER, manager)}]}],
    }


def _socket(config: GatewayConfig) -> Path:
    return config.admin_socket.absolute().with_name("keys.sock")


def _verified_tls(host: str) -> Message:
    names = [{"san_type": "DNS", "matcher": {"exact": host}}]
    trust = {"trusted_ca": {"filename": _SYSTEM_AUTHORITIES}, "match_typed_subject_alt_names": names}
    return typed(_TLS, {"sni": host, "common_tls_context": {"validation_context": trust}})
