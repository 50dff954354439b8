"""The command line of `tensorflow_model_server`: every flag it knows, by its name, type and default."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, get_type_hints

_TRUE, _FALSE = ("true", "1", "t", "yes"), ("false", "0", "f", "no")


class FlagError(ValueError):
    """A known flag has a value that it cannot have."""


def _cores() -> int:
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """Values of the flags; the names, defaults and units are TensorFlow Serving's own.

    Those that only the official binary can heed are kept so that its command lines run unchanged.
    """

    port: int = 8500
    grpc_socket_path: str = ""
    rest_api_port: int = 0
    rest_api_num_threads: int = 4 * _cores()
    rest_api_timeout_in_ms: int = 30_000
    rest_api_enable_cors_support: bool = False
    model_config_file: str = ""
    model_config_file_poll_wait_seconds: int = 0
    model_name: str = "default"
    model_base_path: str = ""
    file_system_poll_wait_seconds: int = 1
    allow_version_labels_for_unavailable_models: bool = False
    num_load_threads: int = 0
    num_unload_threads: int = 0
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    enable_model_warmup: bool = True
    num_request_iterations_for_warmup: int = 1
    saved_model_tags: str = "serve"
    monitoring_config_file: str = ""
    ssl_config_file: str = ""
    grpc_channel_arguments: str = ""
    grpc_max_threads: int = 4 * _cores()
    enable_grpc_healthcheck_service: bool = False
    enable_serialization_as_tensor_content: bool = False
    enable_signature_method_name_check: bool = False
    tensorflow_session_parallelism: int = 0
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    per_process_gpu_memory_fraction: float = 0.0
    version: bool = False
    # Accepted and without effect here: they tune what only the C++ binary has.
    enable_batching: bool = False
    allow_version_labels: bool = True
    batching_parameters_file: str = ""
    enable_per_model_batching_parameters: bool = False
    flush_filesystem_caches: bool = True
    platform_config_file: str = ""
    remove_unused_fields_from_bundle_metagraph: bool = True
    prefer_tflite_model: bool = False
    num_tflite_pools: int = 0
    num_tflite_interpreters_per_pool: int = 1
    xla_cpu_compilation_enabled: bool = False
    enable_profiler: bool = True
    thread_pool_factory_config_file: str = ""
    mixed_precision: str = ""
    skip_initialize_tpu: bool = False
    enforce_session_run_timeout: bool = True
    tensorflow_gpu_memory_limit_mb: int = 0
    force_allow_any_version_labels_for_unavailable_models: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """What a command line says: the flags, and the arguments that no flag knows."""

    flags: Flags
    unknown: tuple[str, ...]


def parse(arguments: Sequence[str]) -> CommandLine:
    """Read `--name=value` and, for booleans, `--name` alone.

    As with TensorFlow's own parser there is no `--name value`. Unknown arguments are returned, not refused.
    Raises FlagError for a value of the wrong type.
    """
    types = get_type_hints(Flags)
    values: dict[str, Any] = {}
    unknown: list[str] = []
    for argument in arguments:
        name, equals, text = argument.removeprefix("--").partition("=")
        known = argument.startswith("--") and name in types
        if not known or (not equals and types[name] is not bool):
            unknown.append(argument)
            continue
        values[name] = _value(name, text if equals else "true", types[name])
    return CommandLine(flags=replace(Flags(), **values), unknown=tuple(unknown))


def _value(name: str, text: str, kind: type) -> object:
    if kind is bool:
        if text.lower() not in _TRUE + _FALSE:
            raise FlagError(f"Couldn't interpret value {text} for flag {name}.")
        return text.lower() in _TRUE
    try:
        return kind(text)
    except ValueError as error:
        raise FlagError(f"Couldn't interpret value {text} for flag {name}.") from error


def usage(program: str) -> str:
    """Return the text that an unusable command line prints: each flag with its type and default."""
    types = get_type_hints(Flags)
    lines = [f"usage: {program}", "Flags:"]
    lines += [f"\t--{flag.name}={flag.default!r:<32}\t{types[flag.name].__name__}" for flag in fields(Flags)]
    return "\n".join(lines) + "\n"
