"""The model list that the server follows: read from TensorFlow Serving's text format or a reload request, and checked.

No I/O is done here; the texts of refusals are the official server's.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from google.protobuf import text_format

from roost.adapters.tf_messages import model_server_config_pb2
from serving.model_server.statuses import StatusError, failed_precondition, invalid_argument

_TENSORFLOW = "tensorflow"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPolicy:
    """Which of the versions found on disk are wanted: the `count` latest, all, or those named."""

    kind: Literal["latest", "all", "specific"] = "latest"
    count: int = 1
    versions: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One model of the list. Labels name versions; `base_path` holds one directory per version."""

    name: str
    base_path: str
    declared: "DeclaredPlatform"
    policy: VersionPolicy = VersionPolicy()
    labels: dict[str, int] = field(default_factory=dict)
    has_logging: bool = False

    @property
    def platform(self) -> str:
        """The platform's name. Raises INVALID_ARGUMENT where it is said twice, not at all, or as another old type."""
        return self.declared.name


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredPlatform:
    """A model's platform as its entry says it: by name, or by the deprecated number of its type."""

    model_type: int
    model_platform: str

    @property
    def name(self) -> str:
        """The one that is meant. Raises INVALID_ARGUMENT."""
        if self.model_type == model_server_config_pb2.MODEL_TYPE_UNSPECIFIED:
            if not self.model_platform:
                raise _platform_error(
                    "neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform"
                )
            return self.model_platform
        if self.model_platform:
            raise _platform_error(
                "both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform"
            )
        if self.model_type != model_server_config_pb2.TENSORFLOW:
            raise invalid_argument(f"ModelServerConfig::model_type choice {self.model_type} not supported.")
        return _TENSORFLOW


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelList:
    """The whole list, by name, in the order given."""

    models: dict[str, ModelEntry]


def parse_text(text: str) -> model_server_config_pb2.ModelServerConfig:
    """Read a config file's text. Raises INVALID_ARGUMENT naming the line and what is wrong there."""
    try:
        return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except text_format.ParseError as error:
        raise invalid_argument(
            f"Error parsing text-format tensorflow.serving.ModelServerConfig: {error}",
        ) from error


def single_model(name: str, base_path: str) -> model_server_config_pb2.ModelServerConfig:
    """Return the config that `--model_name` and `--model_base_path` stand for."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=_TENSORFLOW)
    return config


def accept(current: ModelList | None, proposed: model_server_config_pb2.ModelServerConfig) -> ModelList | None:
    """Return the list that replaces the current one, or None where nothing is configured yet and nothing is proposed.

    Raises FAILED_PRECONDITION for a transition that is not from list to list, INVALID_ARGUMENT for duplicate names,
    relative paths, and a platform that changed. An entry without a platform is accepted here, and refused by
    `check_platform` once it is stored: as officially, every later list is refused because of it.
    """
    kind = proposed.WhichOneof("config")
    if current is not None and kind != "model_config_list":
        raise failed_precondition(
            "Cannot transition to requested config. It is only legal to transition from one ModelConfigList to another."
        )
    if kind is None:
        return None
    if kind != "model_config_list":
        raise invalid_argument("ModelServer does not support custom model config.")
    _check_list(proposed.model_config_list.config)
    entries = {config.name: _entry(config) for config in proposed.model_config_list.config}
    if current is not None:
        _check_platforms(current.models, entries)
    return ModelList(models=entries)


def check_platform(entry: ModelEntry) -> None:
    """Raise INVALID_ARGUMENT where the entry says none, or this server has none of that name."""
    if entry.platform != _TENSORFLOW:
        raise invalid_argument(f"Model {entry.name} requests unsupported platform {entry.platform}")


def _check_list(configs: Iterable[model_server_config_pb2.ModelConfig]) -> None:
    names: set[str] = set()
    for config in configs:
        if config.name in names:
            raise invalid_argument(f"Illegal to list model {config.name} multiple times in config list")
        names.add(config.name)
    for config in configs:
        if not config.base_path.startswith("/") and "://" not in config.base_path:
            raise invalid_argument(
                f"Expected model {config.name} to have an absolute path or URI; got base_path()={config.base_path}"
            )


def _check_platforms(old: dict[str, ModelEntry], new: dict[str, ModelEntry]) -> None:
    platforms = {name: entry.platform for name, entry in old.items()}
    for name, entry in new.items():
        if name in platforms and platforms[name] != entry.platform:
            raise invalid_argument(
                f"Illegal to change a model's platform. For model {name} platform was {platforms[name]} "
                f"and new platform requested is {entry.platform}"
            )


def _entry(config: model_server_config_pb2.ModelConfig) -> ModelEntry:
    return ModelEntry(
        name=config.name,
        base_path=config.base_path,
        declared=DeclaredPlatform(model_type=config.model_type, model_platform=config.model_platform),
        policy=_policy(config.model_version_policy),
        labels=dict(config.version_labels),
        has_logging=config.HasField("logging_config"),
    )


def _platform_error(setting: str) -> StatusError:
    return invalid_argument(f"Illegal setting {setting}.")


def _policy(policy: object) -> VersionPolicy:
    choice = policy.WhichOneof("policy_choice")  # type: ignore[attr-defined]  # a generated message
    if choice == "all":
        return VersionPolicy(kind="all")
    if choice == "specific":
        return VersionPolicy(kind="specific", versions=frozenset(policy.specific.versions))  # type: ignore[attr-defined]  # same
    if choice == "latest":
        # Zero in the file means "not said": the proto's default is one.
        return VersionPolicy(kind="latest", count=policy.latest.num_versions or 1)  # type: ignore[attr-defined]  # same
    return VersionPolicy()
