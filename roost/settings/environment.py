"""The environment, the settings file and the defaults, in this order; nobody else reads them."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from roost.contracts.errors import SettingsInvalid
from roost.settings.dependencies import AirflowSettings, DatabaseSettings, KafkaSettings, StorageSettings
from roost.settings.processes import ConsoleSettings, DeployerSettings, TrainingSettings
from roost.settings.serving import GatewaySettings, ServingSettings
from roost.settings.stack import StackSettings
from roost.settings.tracing import TracingSettings


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
    health_host: str = "127.0.0.1"
    health_port: int = Field(
        default=0, ge=0, le=65535, description="of processes without a web server; 0 takes a free one"
    )
    #: ``json`` in services, ``text`` for people.
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
