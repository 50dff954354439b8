"""What one process alone goes by: deployer, console, training tasks."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from roost.settings.section import Section


class DeployerSettings(Section):
    """The deployer's own pace."""

    workers: int = Field(default=4, ge=1)
    policy_file: Path | None = None
    lease_seconds: float = Field(
        default=30, gt=1, description="of one rollout's row; a step that takes longer is begun by another worker, too"
    )
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
