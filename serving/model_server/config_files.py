"""Where the model list comes from at the start, and at each poll: a file, or the two flags for a single model.

Nothing of TensorFlow's runtime is needed for it, so that a config that cannot be used is told at once.
"""

import logging

from roost.adapters.tf_messages import model_server_config_pb2
from serving.model_server.configuration import accept, parse_text, single_model
from serving.model_server.flags import Flags
from serving.model_server.side_files import read_text
from serving.model_server.statuses import StatusError, invalid_argument

_LOG = logging.getLogger(__name__)


def first_config(flags: Flags) -> model_server_config_pb2.ModelServerConfig:
    """Return the config to start with. Raises StatusError: it cannot be read, or cannot be the first one."""
    if flags.model_config_file:
        config = read_config(flags.model_config_file)
    else:
        config = single_model(flags.model_name, flags.model_base_path)
    accept(None, config)
    return config


def read_config(path: str) -> model_server_config_pb2.ModelServerConfig:
    """Read a config file. Raises StatusError: it cannot be read, or INVALID_ARGUMENT where it does not parse."""
    text = read_text(path)
    try:
        return parse_text(text)
    except StatusError as error:
        _LOG.error("%s", error.message)
        raise invalid_argument(f"Invalid protobuf file: '{path}'") from error
