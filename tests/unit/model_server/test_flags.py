"""The command line is read as the official server reads it."""

import pytest

from serving.model_server.flags import FlagError, parse, usage


def test_the_defaults_are_the_official_ones() -> None:
    """Those that a deployment relies on without naming them."""
    flags = parse([]).flags
    assert (flags.port, flags.rest_api_port, flags.grpc_socket_path) == (8500, 0, "")
    assert (flags.file_system_poll_wait_seconds, flags.model_config_file_poll_wait_seconds) == (1, 0)
    assert (flags.max_num_load_retries, flags.load_retry_interval_micros, flags.num_load_threads) == (5, 60_000_000, 0)
    assert flags.enable_model_warmup
    assert not flags.allow_version_labels_for_unavailable_models


@pytest.mark.parametrize(
    ("argument", "name", "value"),
    [
        ("--port=9000", "port", 9000),
        ("--model_name=a=b", "model_name", "a=b"),
        ("--model_config_file=", "model_config_file", ""),
        ("--per_process_gpu_memory_fraction=0.5", "per_process_gpu_memory_fraction", 0.5),
        ("--enable_grpc_healthcheck_service", "enable_grpc_healthcheck_service", True),
        ("--enable_model_warmup=false", "enable_model_warmup", False),
        ("--enable_model_warmup=0", "enable_model_warmup", False),
        ("--allow_version_labels_for_unavailable_models=True", "allow_version_labels_for_unavailable_models", True),
    ],
)
def test_a_flag_is_read_by_its_type(argument: str, name: str, value: object) -> None:
    """Numbers, texts that contain `=`, and booleans with and without a value."""
    assert getattr(parse([argument]).flags, name) == value


def test_what_no_flag_knows_is_returned_and_the_rest_is_read() -> None:
    """A flag needs two dashes and an equals sign; only a boolean may stand alone."""
    line = parse(["--port=1", "--nope=2", "-port=3", "--rest_api_port", "8501", "x"])
    assert line.flags.port == 1
    assert line.unknown == ("--nope=2", "-port=3", "--rest_api_port", "8501", "x")


@pytest.mark.parametrize("argument", ["--port=x", "--port=", "--enable_model_warmup=maybe"])
def test_a_value_of_the_wrong_type_is_refused_by_name(argument: str) -> None:
    """The message names the flag."""
    with pytest.raises(FlagError, match=argument[2:].partition("=")[0]):
        parse([argument])


def test_the_usage_names_every_flag() -> None:
    """So does the official one."""
    text = usage("server")
    assert "--model_config_file=" in text
    assert "--tensorflow_intra_op_parallelism=0" in text
