"""Metrics, side files, warm-up records, and what is read of a SavedModel, without TensorFlow."""

from collections.abc import Callable
from pathlib import Path

import pytest

from roost.adapters.tf_messages import meta_graph_pb2, saved_model_pb2
from serving.model_server.grpc_server import parse_channel_arguments
from serving.model_server.metrics import Histogram, Metrics, exponential
from serving.model_server.saved_model import initial_runs, read_meta_graph
from serving.model_server.side_files import metrics_path, read_text, tls_credentials
from serving.model_server.statuses import Code, StatusError
from serving.model_server.tfrecord import records

#: Two records, "a" and "bc", as TensorFlow 2.21's TFRecordWriter wrote them.
TF_RECORDS = bytes.fromhex("01000000000000000175de4161786ee428020000000000000078270b3462633433dba7")


def test_a_record_file_of_tensorflow_is_read(tmp_path: Path) -> None:
    """Record by record; an empty file has none."""
    file = tmp_path / "records"
    file.write_bytes(TF_RECORDS)
    assert list(records(file)) == [b"a", b"bc"]
    file.write_bytes(b"")
    assert list(records(file)) == []


@pytest.mark.parametrize("position", range(len(TF_RECORDS)))
def test_a_damaged_record_file_is_told(tmp_path: Path, position: int) -> None:
    """Any byte changed, and any cut but one between two records or within a header, where TensorFlow sees the end."""
    file = tmp_path / "records"
    damaged = bytearray(TF_RECORDS)
    damaged[position] ^= 1
    second = TF_RECORDS.index(b"a") + 5
    header = range(12), range(second, second + 12)
    for content in (bytes(damaged), TF_RECORDS[:position]):
        file.write_bytes(content)
        if content != bytes(damaged) and any(position in each for each in header):
            assert list(records(file)) == [b"a"][: position // second]
            continue
        with pytest.raises(StatusError) as refused:
            list(records(file))
        assert refused.value.code is Code.DATA_LOSS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello world, no record", "corrupted record at 0 (Is this even a TFRecord file?)"),
        (TF_RECORDS[:12] + b"b" + TF_RECORDS[13:], "corrupted record at 12"),
        (TF_RECORDS[:-5] + b"x" + TF_RECORDS[-4:], "corrupted record at 29"),
        (TF_RECORDS[:-2], "truncated record at 17' failed with Read less bytes than requested"),
    ],
)
def test_a_damaged_record_file_is_told_in_tensorflow_s_words(tmp_path: Path, content: bytes, said: str) -> None:
    """With the place, as its reader of 2.21 gives it."""
    file = tmp_path / "records"
    file.write_bytes(content)
    with pytest.raises(StatusError) as refused:
        list(records(file))
    assert refused.value.message == said


def test_a_histogram_counts_cumulatively_up_to_infinity() -> None:
    """Each bucket holds those below its limit; the last holds all."""
    histogram = Histogram("h", ("model",), exponential(1, 2, 3))
    for value in (0.5, 1.5, 3.0, 100.0):
        histogram.add('a"b', value=value)
    assert list(histogram.lines()) == [
        r'h_bucket{model="a\"b",le="1"} 1',
        r'h_bucket{model="a\"b",le="2"} 2',
        r'h_bucket{model="a\"b",le="4"} 3',
        r'h_bucket{model="a\"b",le="+Inf"} 4',
        r'h_sum{model="a\"b"} 105',
        r'h_count{model="a\"b"} 4',
    ]


def test_the_page_has_a_type_line_for_each_metric() -> None:
    """Counters by their official names, without `_total`."""
    metrics = Metrics()
    metrics.request_count.add("m", "OK")
    page = metrics.page()
    assert "# TYPE :tensorflow:serving:request_count counter" in page
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 1' in page
    assert page.endswith("\n")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('prometheus_config { enable: true path: "/m" }', "/m"),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config { path: "/m" }', ""),
        ("\n", ""),
    ],
)
def test_the_metrics_page_is_where_the_monitoring_config_says(tmp_path: Path, text: str, path: str) -> None:
    """Only where it is switched on."""
    file = tmp_path / "monitoring.config"
    file.write_text(text)
    assert metrics_path(str(file)) == path


def test_a_monitoring_config_with_a_typo_is_refused_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The error names the file, the log the field, as officially."""
    file = tmp_path / "monitoring.config"
    file.write_text("prometheus_config { enabled: true }")
    with pytest.raises(StatusError, match=f"Invalid protobuf file: '{file}'"):
        metrics_path(str(file))
    assert "Error parsing text-format tensorflow.serving.MonitoringConfig" in caplog.text
    assert '"tensorflow.serving.PrometheusConfig" has no field named "enabled"' in caplog.text


@pytest.mark.parametrize(
    ("text", "said"),
    [("server_key: 1 oops", "Invalid protobuf file: "), ("client_verify: true", "client_verify needs custom_ca")],
)
def test_an_ssl_config_that_cannot_be_used_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    """One that does not parse, and one that verifies clients by nothing."""
    file = tmp_path / "ssl.config"
    file.write_text(text)
    with pytest.raises(StatusError, match=said) as refused:
        tls_credentials(str(file))
    assert str(file) in refused.value.message


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda path: None, Code.NOT_FOUND),
        (lambda path: path.mkdir(), Code.NOT_FOUND),
        (lambda path: path.touch(), Code.INVALID_ARGUMENT),
        (lambda path: path.write_bytes(b"\xff\xfe"), Code.INVALID_ARGUMENT),
    ],
)
def test_a_file_that_cannot_be_read_is_told_by_its_code(
    tmp_path: Path, make: Callable[[Path], object], code: Code
) -> None:
    """And by its name. An empty one cannot be mapped into memory, which is how the official server reads it."""
    file = tmp_path / "some.config"
    make(file)
    with pytest.raises(StatusError, match=r"some\.config") as refused:
        read_text(str(file))
    assert refused.value.code is code


def test_a_metric_is_asked_for_by_tensorflow_s_path() -> None:
    """The first of a counter's values, by its labels; 0 for a distribution, and for no metric at all."""
    metrics = Metrics()
    metrics.request_count.add("z", "OK", amount=7)
    metrics.request_count.add("a", "OK", amount=3)
    metrics.request_latency.add("a", "Predict", "GRPC", value=5.0)
    assert metrics.value_of("/tensorflow/serving/request_count") == 3
    assert metrics.value_of("/tensorflow/serving/request_latency") == 0
    assert metrics.value_of("/nothing") == 0


def test_a_saved_model_is_found_by_its_tags(tmp_path: Path) -> None:
    """Exactly those; a file that is none, or none at all, is refused by path."""
    with pytest.raises(StatusError, match=f"Could not find SavedModel .pb or .pbtxt at supplied .*{tmp_path}"):
        read_meta_graph(tmp_path, ["serve"])
    model = saved_model_pb2.SavedModel()
    for tags in (["serve", "gpu"], ["serve"]):
        model.meta_graphs.add().meta_info_def.tags.extend(tags)
    (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString())
    assert read_meta_graph(tmp_path, ["serve"]).meta_info_def.tags == ["serve"]
    with pytest.raises(StatusError, match=r"Could not find meta graph def matching supplied tags: \{ train \}"):
        read_meta_graph(tmp_path, ["train"])
    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff")
    with pytest.raises(StatusError) as refused:
        read_meta_graph(tmp_path, ["serve"])
    assert refused.value.code is Code.DATA_LOSS
    (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString()[:-3])
    with pytest.raises(StatusError, match="Read less bytes than requested") as cut:
        read_meta_graph(tmp_path, ["serve"])
    assert cut.value.code is Code.OUT_OF_RANGE


def test_variables_are_restored_before_tables_are_filled(tmp_path: Path) -> None:
    """Each with the assets of this very directory; without an index of variables nothing is restored."""
    meta_graph = meta_graph_pb2.MetaGraphDef()
    meta_graph.saver_def.filename_tensor_name = "file:0"
    meta_graph.saver_def.restore_op_name = "restore"
    meta_graph.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name = "init:0"
    asset = meta_graph.asset_file_def.add(filename="words.txt")
    asset.tensor_info.name = "words:0"
    words = {"words:0": str(tmp_path / "assets" / "words.txt")}
    (only,) = initial_runs(tmp_path, meta_graph)
    assert (only.targets, only.feeds) == (("init",), words)
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "variables.index").touch()
    restore, init = initial_runs(tmp_path, meta_graph)
    assert (restore.targets, restore.feeds) == (
        ("restore",),
        {"file:0": str(tmp_path / "variables/variables"), **words},
    )
    assert init.targets == ("init",)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", []),
        ("grpc.max_connection_age_ms=2000,grpc.lb=x", [("grpc.max_connection_age_ms", 2000), ("grpc.lb", "x")]),
        ("a= -7 ,b=--7,c=99999999999,d", [("a", -7), ("b", "--7"), ("c", "99999999999"), ("d", "")]),
        ("a=1=2", [("a", 1)]),
    ],
)
def test_arguments_of_the_grpc_server_are_numbers_where_they_are_of_32_bits(
    text: str, arguments: list[tuple[str, int | str]]
) -> None:
    """Regression: a larger one, or two signs, ended the start with a stack."""
    assert parse_channel_arguments(text) == arguments
