"""The command line of `tensorflow_model_server`: every flag it knows, by its name, type and default."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, Final, get_type_hints

_INT32: Final = 2**31
_WHOLE: Final = re.compile(r"\s*[+-]?\d+", re.ASCII)
_DECIMAL: Final = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_TRUTHS: Final = {"": True, "=true": True, "=false": False}

#: What `Flag.effect` says.
SAME, NONE, OWN = "same", "none", "own"


class FlagError(ValueError):
    """A known flag has a value that it cannot have."""


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _flag(default: Any, says: str, effect: str = SAME) -> Any:
    return field(default=default, metadata={"says": says, "effect": effect})


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """Values of the flags; the names, defaults, units and the order are TensorFlow Serving's own.

    Those that only the official binary can heed are kept so that its command lines run unchanged.
    """

    port: int = _flag(8500, "TCP port of gRPC; 0: none")
    grpc_socket_path: str = _flag("", "Unix socket of gRPC; may be a relative path")
    rest_api_port: int = _flag(0, "port of HTTP/REST, other than --port; 0: none")
    rest_api_num_threads: int = _flag(4 * _cores(), "REST requests worked on at once")
    rest_api_timeout_in_ms: int = _flag(30_000, "milliseconds until a REST request is answered with 504")
    rest_api_enable_cors_support: bool = _flag(False, "CORS headers in REST answers")
    enable_batching: bool = _flag(False, "join requests into batches")
    allow_version_labels_for_unavailable_models: bool = _flag(
        False, "an unused or unchanged label may name a version that is not available"
    )
    batching_parameters_file: str = _flag("", "BatchingParameters as text, with --enable_batching")
    enable_per_model_batching_parameters: bool = _flag(False, "read batching_params.pbtxt beside each model")
    model_config_file: str = _flag("", "ModelServerConfig as text; --model_name and --model_base_path are ignored then")
    model_config_file_poll_wait_seconds: int = _flag(0, "seconds between two applications of that file; 0: once")
    model_name: str = _flag("default", "name of the one model")
    model_base_path: str = _flag("", "its base path, which holds a directory per version")
    num_load_threads: int = _flag(0, "loads at once; 0: one after another, in the deciding thread")
    num_unload_threads: int = _flag(0, "unloads at once; 0: one after another, in the deciding thread")
    max_num_load_retries: int = _flag(5, "tries after the first failed one")
    load_retry_interval_micros: int = _flag(60_000_000, "microseconds between two tries; negative: none")
    file_system_poll_wait_seconds: int = _flag(1, "seconds between two looks at the base paths; 0: one look; <0: none")
    flush_filesystem_caches: bool = _flag(True, "drop the caches of a remote file system after loads", NONE)
    tensorflow_session_parallelism: int = _flag(0, "threads within and between operations; 0: by cores")
    tensorflow_session_config_file: str = _flag("", "TensorFlow's ConfigProto as text; the flags below go first")
    tensorflow_intra_op_parallelism: int = _flag(0, "threads within an operation; 0: by cores")
    tensorflow_inter_op_parallelism: int = _flag(0, "threads between operations; 0: the request's own")
    use_alts_credentials: bool = _flag(False, "Google's ALTS in place of TLS")
    ssl_config_file: str = _flag("", "SSLConfig as text: key, certificate, the clients' CA, whether to verify them")
    platform_config_file: str = _flag("", "PlatformConfigMap as text", NONE)
    per_process_gpu_memory_fraction: float = _flag(0.0, "share of GPU memory; 0: TensorFlow chooses")
    saved_model_tags: str = _flag("serve", "tags of the meta graph, by commas")
    grpc_channel_arguments: str = _flag("", "key=value of the gRPC server, by commas")
    grpc_max_threads: int = _flag(4 * _cores(), "gRPC requests worked on at once")
    enable_model_warmup: bool = _flag(True, "replay assets.extra/tf_serving_warmup_requests at load")
    num_request_iterations_for_warmup: int = _flag(1, "how often each of them is replayed")
    version: bool = _flag(False, "print the version and end")
    monitoring_config_file: str = _flag("", "MonitoringConfig as text: whether and where metrics are served")
    remove_unused_fields_from_bundle_metagraph: bool = _flag(True, "keep less of the meta graph in memory", NONE)
    prefer_tflite_model: bool = _flag(False, "model.tflite before saved_model.pb: not loaded here")
    num_tflite_pools: int = _flag(_cores(), "pools of TensorFlow Lite interpreters", NONE)
    num_tflite_interpreters_per_pool: int = _flag(1, "interpreters in each", NONE)
    enable_signature_method_name_check: bool = _flag(False, "refuse a signature of another method's name")
    xla_cpu_compilation_enabled: bool = _flag(False, "XLA for CPUs", NONE)
    xla_gpu_compilation_enabled: bool = _flag(False, "XLA for GPUs", NONE)
    enable_profiler: bool = _flag(True, "TensorFlow's profiler service", NONE)
    thread_pool_factory_config_file: str = _flag("", "ThreadPoolConfig as text", NONE)
    mixed_precision: str = _flag("", "mixed precision mode of the graph rewriter", NONE)
    skip_initialize_tpu: bool = _flag(False, "no TPU initialisation", NONE)
    enable_grpc_healthcheck_service: bool = _flag(False, "grpc.health.v1 beside the services")
    enable_serialization_as_tensor_content: bool = _flag(False, "numbers of predictions packed in tensor_content")
    rigour: str = _flag("", "hazards of the official server, by commas, or all", OWN)


def flag_fields() -> Mapping[str, Field[Any]]:
    """Each flag by name, in the order in which they are told; `metadata` has what it says and its effect here."""
    return {each.name: each for each in fields(Flags)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """What a command line says: the flags, and the arguments that no flag knows."""

    flags: Flags
    unknown: tuple[str, ...]

    @property
    def asks_for_help(self) -> bool:
        """Whether `--help` comes before anything else that is unknown."""
        return self.unknown[:1] == ("--help",)


def parse(arguments: Sequence[str]) -> CommandLine:
    """Read `--name=value` and, for booleans, `--name` alone or with `true` or `false`.

    As with TensorFlow's own parser there is no `--name value`, nothing is read after `--`, and unknown arguments are
    returned, not refused. Raises FlagError for a value of the wrong type.
    """
    types = get_type_hints(Flags)
    values: dict[str, Any] = {}
    end = arguments.index("--") if "--" in arguments else len(arguments)
    unknown: list[str] = []
    for argument in arguments[:end]:
        name, equals, text = argument.removeprefix("--").partition("=")
        known = argument.startswith("--") and name in types
        if not known:
            _check_prefix(argument, types)
        if not known or (not equals and types[name] is not bool):
            unknown.append(argument)
            continue
        values[name] = _value(name, equals + text if types[name] is bool else text, types[name])
    return CommandLine(flags=replace(Flags(), **values), unknown=(*unknown, *arguments[end:]))


def _check_prefix(argument: str, types: Mapping[str, type]) -> None:
    """Raise FlagError for what begins like a boolean flag: the rest of it is taken for its value, as officially."""
    for name, kind in types.items():
        flag = f"--{name}"
        if kind is bool and argument.startswith(flag):
            raise FlagError(f"Couldn't interpret value {argument.removeprefix(flag)} for flag {name}.")


def _value(name: str, text: str, kind: type) -> object:
    if kind is str:
        return text
    if kind is bool and text in _TRUTHS:
        return _TRUTHS[text]
    if kind is float and _DECIMAL.fullmatch(text):
        return float(text)
    if kind is int and _WHOLE.fullmatch(text) and _fits(name, int(text)):
        return int(text)
    raise FlagError(f"Couldn't interpret value {text} for flag {name}.")


def _fits(name: str, value: int) -> bool:
    bits = 2**63 if name in ("load_retry_interval_micros", "tensorflow_session_parallelism") else _INT32
    return -bits <= value < bits


def usage(program: str) -> str:
    """Return the text that an unusable command line prints: each flag with its default, type and meaning."""
    types = get_type_hints(Flags)
    lines = [f"usage: {program}", "Flags:"]
    for name, each in flag_fields().items():
        shown, kind = _shown(each.default, types[name])
        note = " (accepted, without effect here)" if each.metadata["effect"] == NONE else ""
        lines.append(f"\t{f'--{name}={shown}':<33}\t{kind}\t{each.metadata['says']}{note}")
    return "\n".join(lines) + "\n"


def _shown(default: Any, kind: type) -> tuple[str, str]:
    if kind is bool:
        return str(default).lower(), "bool"
    if kind is int:
        return str(default), "int32"
    if kind is float:
        return f"{default:f}", "float"
    return f'"{default}"', "string"
