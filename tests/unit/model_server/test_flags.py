"""The command line is read as the official server reads it."""

from pathlib import Path

import pytest

from serving.model_server.flags import FlagError, flag_fields, parse, usage
from serving.model_server.rigour import Hazard, UnknownHazard, hazards

DOCUMENT = Path(__file__).parents[3] / "docs" / "model-server.md"


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
        ("--file_system_poll_wait_seconds=-1", "file_system_poll_wait_seconds", -1),
        ("--load_retry_interval_micros=3000000000", "load_retry_interval_micros", 3_000_000_000),
        ("--model_name=a=b", "model_name", "a=b"),
        ("--model_config_file=", "model_config_file", ""),
        ("--per_process_gpu_memory_fraction=0.5", "per_process_gpu_memory_fraction", 0.5),
        ("--per_process_gpu_memory_fraction=1", "per_process_gpu_memory_fraction", 1.0),
        ("--enable_grpc_healthcheck_service", "enable_grpc_healthcheck_service", True),
        ("--enable_model_warmup=false", "enable_model_warmup", False),
        ("--enable_batching=true", "enable_batching", True),
    ],
)
def test_a_flag_is_read_by_its_type(argument: str, name: str, value: object) -> None:
    """Numbers, texts that contain `=`, and booleans with and without a value."""
    assert getattr(parse([argument]).flags, name) == value


def test_what_no_flag_knows_is_returned_and_the_rest_is_read() -> None:
    """A flag needs two dashes and an equals sign; only a boolean may stand alone; nothing is read after `--`."""
    line = parse(["--port=1", "--nope=2", "-port=3", "--rest_api_port", "8501", "x", "--", "--port=4"])
    assert line.flags.port == 1
    assert line.unknown == ("--nope=2", "-port=3", "--rest_api_port", "8501", "x", "--", "--port=4")


def test_help_is_asked_for_by_the_first_unknown_argument_only() -> None:
    """As TensorFlow's own parser has it."""
    assert parse(["--port=1", "--help"]).asks_for_help
    assert not parse(["--nope", "--help"]).asks_for_help


@pytest.mark.parametrize(
    "argument",
    [
        "--port=x",
        "--port=",
        "--port=1_0",
        "--port=3000000000",
        "--port=1.5",
        "--enable_model_warmup=maybe",
        "--enable_model_warmup=1",
        "--enable_model_warmup=True",
        "--per_process_gpu_memory_fraction=half",
        "--enable_batching_now",
        "--versions",
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_name(argument: str) -> None:
    """The message names the flag. A boolean is `true` or `false` and nothing else, not even more of a name."""
    with pytest.raises(FlagError, match=r"Couldn't interpret value \S* for flag \w+\.") as refused:
        parse([argument])
    assert argument.startswith("--" + str(refused.value).removesuffix(".").rpartition(" ")[2])


def test_the_usage_names_every_flag_with_default_and_type() -> None:
    """In the official layout; those without effect are told."""
    text = usage("server")
    assert text.startswith("usage: server\nFlags:\n\t--port=8500")
    assert '\t--model_config_file=""           \tstring\t' in text
    assert "--tensorflow_intra_op_parallelism=0" in text
    assert "--enable_model_warmup=true" in text
    assert "without effect" in next(line for line in text.splitlines() if "--mixed_precision" in line)
    assert all(f"--{name}=" in text for name in flag_fields())


def test_the_document_has_every_flag_and_every_hazard() -> None:
    """With the same default, in its table."""
    document = DOCUMENT.read_text()
    missing = [name for name in flag_fields() if f"| `{name}` |" not in document]
    missing += [each for each in Hazard if f"| `{each}` |" not in document]
    assert missing == []


def test_hazards_are_named_one_by_one_or_all_at_once() -> None:
    """An unknown one is refused with a list of those that there are."""
    assert hazards("") == frozenset()
    assert hazards("no_drain, manager_tick") == {Hazard.NO_DRAIN, Hazard.MANAGER_TICK}
    assert hazards("all") == frozenset(Hazard)
    with pytest.raises(UnknownHazard, match="there is no slow; there are manager_tick, "):
        hazards("slow")
