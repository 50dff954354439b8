"""The systems that Roost stands on: event bus, object store, database, Airflow."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from roost.contracts.event_rights import Account
from roost.settings.section import Section


class KafkaSettings(Section):
    """The event bus."""

    bootstrap: str = Field(default="127.0.0.1:9092", description="host:port, several separated by commas")
    security_protocol: str = Field(default="PLAINTEXT", pattern="^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$")
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_password_file: Path | None = Field(
        default=None, description="holds the password; read anew for each connection, and counts before sasl_password"
    )
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
    batch_bytes: int = Field(
        default=16_384, ge=0, description="of one partition's events, sent together at most; 0: each by itself"
    )


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
