"""Settings: the only reader of the environment.

Every field is an environment variable ``ROOST_<SECTION>__<FIELD>``; a file named by ``ROOST_SETTINGS_FILE`` (YAML, the
same names nested) stands below the environment; defaults stand below both. `roost up` writes such a file for its own
processes, so that production and one machine differ in addresses only.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from roost.contracts.errors import SettingsInvalid
from roost.contracts.event_rights import Account

#: Brokers that the local stack can run.
Bus = Literal["embedded", "apache"]


class Section(BaseModel):
    """One group of settings. Unknown names are refused, so that a typing error never passes for a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(Section):
    """The event bus."""

    bootstrap: str = Field(default="127.0.0.1:9092", description="host:port, several separated by commas")
    security_protocol: str = Field(default="PLAINTEXT", pattern="^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$")
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    partitions: int = Field(default=6, ge=1, description="partitions of topics that Roost creates")
    replication: int = Field(default=1, ge=1)
    principal_prefix: str = Field(default="roost-", description="before an account's name: User:roost-deployer")
    #: Accounts that are called otherwise, such as ``{"deployer": "CN=deployer,O=Example"}`` by a certificate.
    principals: dict[Account, str] = Field(default_factory=dict)
    session_timeout_ms: int = Field(default=45_000, ge=6_000)
    heartbeat_interval_ms: int = Field(default=3_000, ge=500)


class StorageSettings(Section):
    """The object store."""

    bucket: str = "roost"
    #: Address of a GCS-compatible server; None is Google's own.
    endpoint: str | None = None
    project: str = "roost"
    deadline_seconds: float = Field(default=60, gt=0)


class DatabaseSettings(Section):
    """PostgreSQL."""

    url: SecretStr = SecretStr("postgresql://127.0.0.1:5432/roost")
    pool_size: int = Field(default=8, ge=2)


class AirflowSettings(Section):
    """Airflow's REST API."""

    url: str = "http://127.0.0.1:8080"
    username: str | None = None
    password: SecretStr | None = None
    max_in_flight: int = Field(default=4, ge=1, description="runs that the signup consumer starts at a time")


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
    envoy: str = Field(default="auto", description="path of envoy; auto looks on PATH, then in the wheel")
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


class GatewaySettings(Section):
    """Who may ask for predictions, how, and how much."""

    jwks_file: Path | None = None
    jwks_url: str | None = None
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


class DeployerSettings(Section):
    """The deployer's own pace."""

    workers: int = Field(default=4, ge=1)
    policy_file: Path | None = None
    lease_seconds: float = Field(default=30, gt=1, description="of one rollout's row")
    #: Of a loop that one deployer runs for all: what a kill -9 costs until another takes over.
    loop_lease_seconds: float = Field(default=5, gt=1)
    #: Shortest time between two writes of one desired object, once a burst of two is spent.
    write_interval_seconds: float = Field(default=1.0, ge=0)
    reconcile_seconds: float = Field(default=10, gt=0)
    retention_days: float = Field(
        default=14, gt=0, description="how long staged artifacts, events and commands that are done with are kept"
    )


class ConsoleSettings(Section):
    """Console and REST API."""

    host: str = "127.0.0.1"
    port: int = Field(default=8088, ge=0, le=65535)
    url: str = Field(default="http://127.0.0.1:8088", description="how people reach it; events link to it")
    #: Without keys the console serves loopback addresses only, and says so.
    jwks_file: Path | None = None
    issuer: str = "roost"
    audience: str = "roost-console"
    #: Sent by `roost rollouts` and the other on-call commands, where the console asks for a token.
    token: SecretStr | None = None


class TrainingSettings(Section):
    """What training tasks use. `dataset` and `trainer` name an object as ``module:attribute``."""

    dataset: str = "training.datasets.flights:FlightsDataset"
    trainer: str = "training.models.tabular:TabularClassifier"
    #: For the bundled ``training.datasets.object_store:TableDataset``: prefix of CSV or Parquet files in the bucket.
    data_prefix: str = "data/"
    seed: int = 7
    threads: int = Field(default=2, ge=1)
    code_version: str = "dev"


class TracingSettings(Section):
    """Traces (OpenTelemetry), from an event to the flip. Without an exporter nothing is written, no SDK imported."""

    exporter: str = Field(
        default="none", pattern="^(none|otlp|file)$", description="otlp: a collector; file: JSON lines"
    )
    endpoint: str = Field(
        default="http://127.0.0.1:4318/v1/traces", pattern="^https?://", description="of the collector, OTLP over HTTP"
    )
    authorization: SecretStr | None = Field(default=None, description="header Authorization for the collector")
    file: Path | None = Field(
        default=None, description="appended to by every process; None is traces.jsonl in the state directory"
    )
    sample: float = Field(default=1.0, ge=0, le=1, description="share of the traces that nobody upstream decided about")
    queue: int = Field(
        default=2048, ge=1, description="spans that wait to be handed over; more are dropped and counted"
    )
    timeout_seconds: float = Field(default=5, gt=0, description="of one batch to the collector, retries within")
    page: str | None = Field(
        default=None,
        pattern="^https?://",
        description="address of one trace in your tracing tool, with {trace_id}; the console links to it",
    )


class StackSettings(Section):
    """The local stack (`roost up`)."""

    bus: Bus = Field(
        default="embedded", description="its broker: a small one in memory, or Apache Kafka (Java 17; `roost up --bus`)"
    )
    #: Name to fixed port; names that are not here get a free one. `roost up --port NAME=NUMBER` does the same.
    ports: dict[str, int] = Field(default_factory=dict)
    cache_dir: Path | None = Field(
        default=None, description="for programs that are fetched once; None is roost in the user's cache directory"
    )


class Settings(BaseSettings):
    """All settings of a process."""

    model_config = SettingsConfigDict(
        env_prefix="ROOST_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        nested_model_default_partial_update=True,
    )

    #: Where the local stack and the node's cache keep everything.
    state_dir: Path = Path(".roost")
    #: Read before all others, from the environment; a field, so that its name is known and shown.
    settings_file: Path | None = None
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    #: ``json`` in services, ``text`` for people.
    health_host: str = "127.0.0.1"
    health_port: int = Field(
        default=0, ge=0, le=65535, description="of processes without a web server; 0 takes a free one"
    )
    log_format: str = Field(default="json", pattern="^(json|text)$")
    kafka: KafkaSettings = KafkaSettings()
    storage: StorageSettings = StorageSettings()
    database: DatabaseSettings = DatabaseSettings()
    airflow: AirflowSettings = AirflowSettings()
    serving: ServingSettings = ServingSettings()
    gateway: GatewaySettings = GatewaySettings()
    deployer: DeployerSettings = DeployerSettings()
    console: ConsoleSettings = ConsoleSettings()
    training: TrainingSettings = TrainingSettings()
    tracing: TracingSettings = TracingSettings()
    stack: StackSettings = StackSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the name is pydantic's)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the name is pydantic's)
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the settings file."""
        file = os.environ.get("ROOST_SETTINGS_FILE")
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        return (*sources, YamlConfigSettingsSource(settings_cls, yaml_file=file)) if file else sources


@cache
def load() -> Settings:
    """The settings of this process, read once.

    Raises:
        SettingsInvalid: naming the setting, the value's fault and where it came from.
    """
    file = os.environ.get("ROOST_SETTINGS_FILE")
    if file and not Path(file).is_file():
        raise SettingsInvalid(f"ROOST_SETTINGS_FILE names {file}, which is not a file")
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = "__".join(str(part).upper() for part in first["loc"])
        raise SettingsInvalid(f"setting ROOST_{path}: {first['msg']}") from error


def adopt_local_stack() -> None:
    """Let this process read the settings of the local stack in the state directory, unless a file is named already."""
    file = Path(os.environ.get("ROOST_STATE_DIR", ".roost")) / "settings.yaml"
    if "ROOST_SETTINGS_FILE" not in os.environ and file.is_file():
        os.environ["ROOST_SETTINGS_FILE"] = str(file.absolute())


def cache_dir() -> Path:
    """Where programs are kept that are fetched once, such as Apache Kafka: outside every checkout and every stack."""
    given = load().stack.cache_dir
    # As the XDG base directory specification says; a relative path there counts as none.
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return given.expanduser() if given else (base if base.is_absolute() else Path("~/.cache")).expanduser() / "roost"


def without_ours() -> dict[str, str]:
    """The environment without any setting of Roost's or Airflow's: what the local stack's processes start from."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("ROOST_", "AIRFLOW_"))}


class DescribedSetting(NamedTuple):
    """One setting as people see it."""

    variable: str
    value: str
    source: str


def described() -> list[DescribedSetting]:
    """Every setting with its value and source (``environment``, ``file`` or ``default``), secrets hidden."""
    loaded = load()
    file = os.environ.get("ROOST_SETTINGS_FILE")
    in_file: dict[str, object] = {}
    if file:
        in_file = _flat(yaml.safe_load(Path(file).read_text()) or {})
    variables = {name.upper() for name in os.environ}
    rows = []
    for path, value in _flat(loaded.model_dump()).items():
        variable = "ROOST_" + path.upper()
        source = "environment" if variable in variables else "file" if path in in_file else "default"
        rows.append(DescribedSetting(variable, str(value), source))
    return rows


def _flat(document: dict[str, object], prefix: str = "") -> dict[str, object]:
    rows: dict[str, object] = {}
    for key, value in document.items():
        rows |= _flat(value, f"{prefix}{key}__") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return rows
