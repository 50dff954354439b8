"""The model server's configuration, as TensorFlow Serving's own protobuf message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import text_format

from roost.adapters.tf_messages import model_server_config_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One served name: where its versions lie, which of them to have, and their labels."""

    name: str
    base_path: Path
    versions: tuple[int, ...]
    labels: Mapping[str, int] = field(default_factory=dict)


def render(entries: Iterable[ModelEntry]) -> model_server_config_pb2.ModelServerConfig:
    """The message of a reload. No entries make an empty list, which unloads everything."""
    config = model_server_config_pb2.ModelServerConfig()
    # Present and empty: an absent list would be refused as a change of type.
    config.model_config_list.SetInParent()
    for entry in entries:
        model = config.model_config_list.config.add(
            name=entry.name, base_path=str(entry.base_path), model_platform="tensorflow"
        )
        model.model_version_policy.specific.versions.extend(entry.versions)
        for label, version in sorted(entry.labels.items()):
            model.version_labels[label] = version
    return config


def render_text(entries: Iterable[ModelEntry]) -> str:
    """The same as a file for ``--model_config_file``."""
    return str(text_format.MessageToString(render(entries)))
