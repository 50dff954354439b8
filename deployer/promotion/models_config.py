"""The desired state in TensorFlow Serving's text format, so that a stock model server can start from it.

Built as a protobuf message and printed by protobuf, never by string templates.
"""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf import text_format

from roost.adapters.tf_messages import model_server_config_pb2
from roost.contracts.desired import DesiredState


def render(state: DesiredState, uri: Callable[[str], str]) -> bytes:
    """`models.config` of that generation. `uri` turns an object name into ``gs://bucket/name``."""
    config = model_server_config_pb2.ModelServerConfig()
    models = config.model_config_list
    for model in state.models:
        entry = models.config.add(name=model.name, model_platform="tensorflow")
        # The base path is what all versions have in common: the version's own directory is its number.
        entry.base_path = uri(model.prefix(model.versions[0].version)).rstrip("/").rpartition("/")[0]
        entry.model_version_policy.specific.versions.extend(one.version for one in model.versions)
        for label in sorted(model.labels):
            entry.version_labels[label] = model.labels[label]
    models.SetInParent()
    return text_format.MessageToString(config).encode()
