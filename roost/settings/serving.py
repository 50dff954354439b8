"""The way of a prediction: serving pools and their nodes, and the gateway before each."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from roost.settings.section import Section


class ServingSettings(Section):
    """Serving pools, as seen from outside the pods, and a node's own parts."""

    pool: str = "default"
    canary_pool: str = "canary"
    #: JSON file that lists nodes (see `roost.adapters.node_directory`); None means Kubernetes.
    directory_file: Path | None = None
    namespace: str | None = Field(default=None, description="of the pools in Kubernetes; None takes the pod's own")
    #: JSON file that says which pool serves which name (see `roost.adapters.placement_file`), for a front of several.
    placement_file: Path | None = None
    #: Where applications ask for predictions: one address before all replicas, ``host:port``.
    rest: str | None = None
    grpc: str | None = None
    control_token: SecretStr | None = None
    #: Sent by the deployer with its own predictions, where the gateway asks for a token.
    predict_token: SecretStr | None = None
    #: Where the gateways speak TLS: whose certificates count, the pair to show where they ask for one, and the name in
    #: the gateway's certificate, where that is not its address.
    predict_ca_file: Path | None = None
    predict_cert_file: Path | None = None
    predict_key_file: Path | None = None
    predict_tls_name: str | None = None
    model_server: str = Field(default="auto", description="path of tensorflow_model_server; auto looks on PATH")
    envoy: str = Field(
        default="auto",
        description="path of envoy; auto looks on PATH, then in the wheel; beside: a container of its own runs it",
    )
    poll_seconds: float = Field(default=20, gt=0, description="how often a node looks at the desired object unasked")
    reload_deadline_seconds: float = Field(default=60, gt=0)
    cache_mb: float = Field(default=10_240, gt=0)
    load_threads: int = Field(default=4, ge=1)
    #: Of recorded requests: texts that the policy has hashed are told apart by it alone. Without it they are dropped.
    tap_hash_key: SecretStr | None = None
    tap_flush_seconds: float = Field(default=300, gt=0, description="how often recorded requests are written")
    neighbour_budget: float = Field(
        default=2.0, ge=0, description="times that the p99 of served models may grow while others load; 0 paces nothing"
    )
    neighbour_floor_seconds: float = Field(default=0.02, ge=0, description="a p99 below this is never too slow")
    neighbour_patience_seconds: float = Field(
        default=30, ge=0, description="that the loads of one busy period wait for the neighbours in all"
    )


class TokenIssuer(Section):
    """Who issues tokens beside the first issuer, with keys of their own: exactly one of file and URL."""

    issuer: str
    audience: str = "roost-predictions"
    jwks_file: Path | None = None
    jwks_url: str | None = None
    jwks_ca_file: Path | None = None


class GatewaySettings(Section):
    """Who may ask for predictions, how, and how much."""

    jwks_file: Path | None = None
    jwks_url: str | None = None
    #: Whose certificates count for an https URL of keys; None is whom the system trusts. Watched.
    jwks_ca_file: Path | None = None
    issuer: str = "roost"
    audience: str = "roost-predictions"
    issuers: tuple[TokenIssuer, ...] = Field(default=(), description="further ones")
    #: What callers may name whose token does not say it (claim ``labels``): labels, or ``*`` for all and every version.
    choices: tuple[str, ...] = ("*",)
    allow_cidrs: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    #: Networks whose X-Forwarded-For says who asks.
    trusted_proxies: tuple[str, ...] = ()
    keep_request_ids: bool = Field(default=False, description="a client's own x-request-id, instead of a new one")
    #: Both, or neither. Watched: files put in their place by renaming are used for the next handshake.
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    #: With it every client shows a certificate of one of these authorities.
    tls_client_ca_file: Path | None = None
    #: Requests per second of one customer through one gateway; None is no limit.
    customer_rate: int | None = Field(default=None, ge=1)
    customer_burst: int | None = Field(default=None, ge=1, description="at once; None is two seconds' worth")
    customer_rates: dict[str, int] = Field(default_factory=dict, description="customers with a rate of their own")
    #: Requests of one customer that the model server has at a time, by each API; None is no limit.
    customer_in_flight: int | None = Field(default=None, ge=1)
    max_customers: int = Field(default=10_000, ge=1, description="whose rates are remembered at a time")
    max_body_mb: float = Field(default=8, gt=0)
    max_connections: int = Field(default=10_000, ge=1)
    max_memory_mb: float = Field(default=1024, gt=0, description="of Envoy's heap; above it requests are turned away")
    access_log: Path | None = None
