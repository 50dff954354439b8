"""The metrics page: where it is, the names, labels and forms that a scraper relies on."""

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import numpy as np
import pytest

from roost.contracts.traffic import Answered
from serving.node.answered import read_page
from tests.integration.model_server.bases import specific
from tests.integration.model_server.running import FAST, RunningServer, config, reload_request, starting

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

PATH = "/monitoring/prometheus/metrics"
SAMPLE = re.compile(r'(?P<name>[:\w]+)\{(?P<labels>(?:\w+="(?:[^"\\]|\\.)*",?)*)\} (?P<value>\S+)')


class Page:
    """What the page says."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        found = [SAMPLE.fullmatch(line) for line in self.lines if not line.startswith("#")]
        assert all(found), "every line is a comment or a sample"
        self.samples = {f"{each['name']}{{{each['labels']}}}": each["value"] for each in found if each}

    def value(self, sample: str) -> float:
        """One sample; 0 where it is not there yet."""
        return float(self.samples.get(sample, 0))


@pytest.fixture(scope="module")
def models(saved_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base path of its own: the labels say where a model lies."""
    root = tmp_path_factory.mktemp("metrics")
    shutil.copytree(saved_models / "scale", root / "scale")
    shutil.copytree(saved_models / "warm", root / "warm")
    (root / "bad" / "1").mkdir(parents=True)
    return root


@pytest.fixture(scope="module")
def server(program: Sequence[str], models: Path) -> Iterator[RunningServer]:
    """A server with the page switched on."""
    monitoring = models / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    with starting(program) as begin:
        text = config({"scale": models / "scale", "warm": models / "warm"}, scale=specific(3))
        yield begin(*FAST, f"--monitoring_config_file={monitoring}", models=text)


def page(server: RunningServer) -> Page:
    """Read it."""
    answer = server.http("GET", PATH)
    assert answer.status == 200
    return Page(answer.text)


def test_requests_are_counted_by_model_and_status_and_timed_by_api_and_entrypoint(server: RunningServer) -> None:
    """One that fails is counted under its code, and not timed. By REST the API is as the path writes it."""
    prefix = ":tensorflow:serving:"
    ok, missing = (f'{prefix}request_count{{model_name="scale",status="{code}"}}' for code in ("OK", "NOT_FOUND"))
    timed = {
        entrypoint: f'{prefix}request_latency_count{{model_name="scale",API="{api}",entrypoint="{entrypoint}"}}'
        for entrypoint, api in (("GRPC", "Predict"), ("REST", "predict"))
    }
    ran = f'{prefix}runtime_latency_count{{model_name="scale",API="Predict",runtime="TF1"}}'
    before = page(server)
    server.scale()
    server.post("scale:predict", {"instances": [1.0]})
    with pytest.raises(grpc.RpcError):
        server.scale(version=9)
    server.post("scale/versions/9:predict", {"instances": [1.0]})
    after = page(server)
    risen = {name: after.value(name) - before.value(name) for name in (ok, missing, *timed.values(), ran)}
    assert risen == {ok: 2, missing: 2, timed["GRPC"]: 1, timed["REST"]: 1, ran: 2}


def test_a_node_tells_predictions_from_what_else_is_counted(server: RunningServer) -> None:
    """Users' requests for the status made a live model look faster than its candidate."""

    def answered() -> Answered:
        return read_page(server.http("GET", PATH).text, "scale", 1)

    before = answered()
    server.scale()
    for path in ("/scale", "/scale", "/scale/metadata", "/scale/versions/3"):
        assert server.get(path).status == 200
    server.post("scale:predict", {"instances": [1.0]})
    server.post("scale:predict", {"instances": ["one"]})
    risen = answered().since(before)
    assert risen is not None
    assert {status: count for status, count in risen.ended.items() if count} == {"OK": 2, "INVALID_ARGUMENT": 1}
    assert risen.timed == 2


def test_the_page_is_written_as_the_official_exporter_writes_it(server: RunningServer) -> None:
    """`# TYPE` and no `# HELP`; counters without `_total`; buckets up to `+Inf`, cumulative, with six digits."""
    server.predict("scale", {"x": np.array([1.0], np.float32)})
    text = page(server)
    assert [line for line in text.lines if line.startswith("#") and not line.startswith("# TYPE :tensorflow:")] == []
    types = dict(line.split(" ")[2:4] for line in text.lines if line.startswith("# TYPE :tensorflow:serving:"))
    assert types[":tensorflow:serving:request_count"] == "counter"
    for name in ("request_latency", "runtime_latency", "request_example_counts", "model_warmup_latency"):
        assert types[f":tensorflow:serving:{name}"] == "histogram"
    labels = 'model_name="scale",API="Predict",entrypoint="GRPC"'
    prefix = f":tensorflow:serving:request_latency_bucket{{{labels},le="
    limits = [name.removeprefix(prefix) for name in text.samples if name.startswith(prefix)]
    assert limits[:4] == ['"10"}', '"18"}', '"32.4"}', '"58.32"}']
    assert limits[-2:] == [f'"{10 * 1.8**32:g}"}}', '"+Inf"}']
    counts = [text.value(prefix + limit) for limit in limits]
    assert counts == sorted(counts)
    assert counts[-1] == text.value(f":tensorflow:serving:request_latency_count{{{labels}}}")


def test_loads_and_warm_ups_are_told_by_path_and_outcome(server: RunningServer, models: Path, tmp_path: Path) -> None:
    """A failed one too; `load_latency` counts microseconds of those that succeeded."""
    # Paths and names that no other test has: a version that another left may still be there.
    own = {f"own_{name}": tmp_path / name for name in ("scale", "warm", "bad")}
    for path in own.values():
        shutil.copytree(models / path.name, path)
    kept = {"scale": models / "scale"}  # what the other tests ask for
    server.refuses(config({**kept, **own}, scale=specific(3), own_scale=specific(3)))
    samples = page(server)
    attempts = ":tensorflow:cc:saved_model:load_attempt_count"
    assert samples.value(f'{attempts}{{model_path="{tmp_path}/scale/3",status="success"}}') == 1
    assert samples.value(f'{attempts}{{model_path="{tmp_path}/bad/1",status="fail"}}') == 1
    assert samples.value(f':tensorflow:cc:saved_model:load_latency{{model_path="{tmp_path}/scale/3"}}') > 0
    warm = f':tensorflow:serving:model_warmup_latency_count{{model_path="{tmp_path}/warm/1",status="OK"}}'
    assert samples.value(warm) == 1


def test_a_reload_tells_the_rise_of_a_counter(server: RunningServer, models: Path) -> None:
    """The first of its values, in the order of its labels, whatever they are."""
    text = config({"scale": models / "scale"}, scale=specific(3))
    request = reload_request(text)
    request.metric_names.append("/tensorflow/serving/request_count")
    (metric,) = server.models.HandleReloadConfigRequest(request, timeout=100).metric
    assert (metric.name, metric.int64_value_increase) == ("/tensorflow/serving/request_count", 0)


def test_without_its_config_there_is_no_page(strict_server: RunningServer) -> None:
    """As by default."""
    assert strict_server.http("GET", PATH).status == 404
