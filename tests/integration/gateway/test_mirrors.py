"""Copies of requests to a candidate: as many as asked, with the token, and no caller notices the candidate. Real Envoy."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roost.adapters.tf_messages import predict_pb2
from roost.settings import GatewaySettings
from serving.gateway.render import render
from serving.gateway.table import Mirror, RoutingTable
from serving.gateway.tokens import SigningKey, key_set
from tests.integration.gateway.asking import PATH, PREDICT, a_token
from tests.integration.gateway.running import Running, configured, started
from tests.integration.gateway.stand_in import StandIn, stand_in

# `tf_messages` does not pass these on; its import above has made them importable without TensorFlow.
from tensorflow_serving.apis import inference_pb2  # isort: skip

pytestmark = pytest.mark.integration

SIGNED = SigningKey.create()
REQUEST = predict_pb2.PredictRequest(model_spec={"name": "ua.default"}).SerializeToString()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> GatewaySettings:
    file = tmp_path_factory.mktemp("keys") / "jwks.json"
    file.write_text(key_set([SIGNED]))
    return GatewaySettings(jwks_file=file)


@pytest.fixture(scope="module")
def canary(keys: GatewaySettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A canary node's gateway, which asks for a token, before a model server of its own."""
    directory = tmp_path_factory.mktemp("candidate")
    with stand_in(directory) as server:
        config = configured(directory, socket=server.socket, rest=server.rest, settings=keys)
        config = replace(config, candidates=True)
        with started(config, render(config)) as it:
            yield it


@contextlib.contextmanager
def mirroring(percent: float, rest: str, grpc: str, *, live: StandIn, place: Path, settings: GatewaySettings):
    config = configured(place, socket=live.socket, rest=live.rest, settings=settings)
    table = RoutingTable(mirrors={"ua.default": Mirror(percent=percent, rest=rest, grpc=grpc)})
    with started(config, render(config, table)) as it:
        yield it


def ask_both(gateway: Running, times: int) -> None:
    token = a_token(SIGNED)
    for _ in range(times):
        answer = gateway.client.post(PATH, json={}, headers={"authorization": f"Bearer {token}"})
        assert answer.json()["path"] == "/v1/models/ua.default/labels/stable:predict"
        assert "authorization" not in answer.json()["headers"]
        seen = predict_pb2.PredictRequest.FromString(gateway.call(PREDICT, REQUEST, token=token))
        assert seen.model_spec.version_label == "stable"


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def copies(canary: Running) -> tuple[int, int]:
    """Requests that the candidate's model server got and answered, by REST and by gRPC."""
    found = {"rest": 0, "grpc": 0}
    for line in canary.admin.stats().splitlines():
        for door in found:
            wanted = f'envoy_cluster_upstream_rq_xx{{envoy_response_code_class="2",envoy_cluster_name="model_{door}"}}'
            if line.startswith(wanted):
                found[door] = int(line.rsplit(" ", 1)[1])
    return found["rest"], found["grpc"]


def copies_made(gateway: Running, canary: str) -> tuple[int, int]:
    """Copies that were sent to the candidate's address, and those that were not, since it was busy with others."""
    found = {"rq_total": 0, "rq_pending_overflow": 0}
    address = canary.partition(".")[2].replace(".", "_").replace(":", "_")
    for line in gateway.admin.stats().splitlines():
        for what in found:
            # Envoy takes the first dot of the address for the end of the cluster's name.
            if line.startswith(f"envoy_cluster_{address}_upstream_{what}{{"):
                found[what] += int(line.rsplit(" ", 1)[1])
    return found["rq_total"], found["rq_pending_overflow"]


def test_every_request_is_copied_where_all_are_asked_for_and_the_candidate_answers_it_by_its_only_version(
    canary: Running, model_server: StandIn, keys: GatewaySettings, tmp_path: Path
):
    rest, grpc = canary.config.rest, canary.config.grpc
    before = copies(canary)
    with mirroring(100, rest, grpc, live=model_server, place=tmp_path, settings=keys) as gateway:
        ask_both(gateway, 10)
        until(lambda: copies(canary) == (before[0] + 10, before[1] + 10))
        versioned = gateway.client.post(
            "/v1/models/ua.default/versions/3:predict", json={}, headers={"authorization": f"Bearer {a_token(SIGNED)}"}
        )
        assert versioned.status_code == 200
        ask_both(gateway, 1)
        until(lambda: copies(canary) == (before[0] + 11, before[1] + 11))


def test_a_share_is_copied_where_a_share_is_asked_for(
    canary: Running, model_server: StandIn, keys: GatewaySettings, tmp_path: Path
):
    rest, grpc = canary.config.rest, canary.config.grpc
    before, asked = copies(canary)[1], 1000
    with mirroring(30, rest, grpc, live=model_server, place=tmp_path, settings=keys) as gateway:
        method = gateway.channel.unary_unary(PREDICT)
        metadata = [("authorization", f"Bearer {a_token(SIGNED)}")]
        for _ in range(asked // 50):
            for call in [method.future(REQUEST, timeout=60, metadata=metadata) for _ in range(50)]:
                call.result()
        made, left_out = copies_made(gateway, grpc)
        # Six standard deviations: once in five hundred million.
        assert abs(made + left_out - 0.3 * asked) < 6 * math.sqrt(asked * 0.3 * 0.7)
        until(lambda: copies(canary)[1] == before + made)


@pytest.mark.parametrize("fault", ["refuses connections", "accepts and never answers"])
def test_a_dead_candidate_slows_nobody(model_server: StandIn, keys: GatewaySettings, tmp_path: Path, fault: str):
    """Whoever waited for the candidate would wait for its connection (0.25 s), or its answer (30 s)."""
    with socket.socket() as hanging, _plain(model_server, keys, tmp_path / "plain") as plain:
        hanging.bind(("127.0.0.1", 0))
        if fault == "accepts and never answers":
            hanging.listen(1024)
        dead = f"127.0.0.1:{hanging.getsockname()[1]}"
        (tmp_path / "mirroring").mkdir()
        place = tmp_path / "mirroring"
        with mirroring(100, dead, dead, live=model_server, place=place, settings=keys) as gateway:
            ask_both(gateway, 20)
            with_it, without = [], []
            for _ in range(8):
                with_it += _seconds(gateway, 50)
                without += _seconds(plain, 50)
    assert np.percentile(with_it, 50) < 2 * np.percentile(without, 50) + 0.1
    assert max(with_it) < 25


@contextlib.contextmanager
def _plain(live: StandIn, settings: GatewaySettings, place: Path) -> Iterator[Running]:
    place.mkdir()
    config = configured(place, socket=live.socket, rest=live.rest, settings=settings)
    with started(config, render(config)) as it:
        yield it


def _seconds(gateway: Running, calls: int) -> list[float]:
    method, token = gateway.channel.unary_unary(PREDICT), [("authorization", f"Bearer {a_token(SIGNED)}")]
    found: list[float] = []
    ended = threading.Barrier(2)

    def ask() -> None:
        for _ in range(calls):
            began = time.perf_counter()
            method(REQUEST, timeout=60, metadata=token)
            found.append(time.perf_counter() - began)
        ended.wait(120)

    threading.Thread(target=ask, daemon=True).start()
    ended.wait(120)
    return found


def test_a_canary_nodes_gateway_answers_by_the_only_version_who_asks_for_none_or_the_stable_one(canary: Running):
    token = a_token(SIGNED)
    for asked, sent in (
        ("ua.default:predict", "ua.default:predict"),
        ("ua.default/labels/stable:predict", "ua.default:predict"),
        ("ua.default/labels/other:predict", "ua.default/labels/other:predict"),
        ("ua.default/versions/3:predict", "ua.default/versions/3:predict"),
    ):
        answer = canary.client.post(f"/v1/models/{asked}", json={}, headers={"authorization": f"Bearer {token}"})
        assert answer.json()["path"] == f"/v1/models/{sent}"
    request = inference_pb2.MultiInferenceRequest()
    for label in ("stable", "stable"):
        request.tasks.add(method_name="m").model_spec.name = "ua.default"
        request.tasks[-1].model_spec.version_label = label
    service = "/tensorflow.serving.PredictionService"
    seen = inference_pb2.MultiInferenceRequest.FromString(
        canary.call(f"{service}/MultiInference", request.SerializeToString(), token=token)
    )
    for task in request.tasks:
        task.model_spec.ClearField("version_label")
    assert seen == request
    chosen = predict_pb2.PredictRequest(model_spec={"name": "ua.default", "version": {"value": 3}}).SerializeToString()
    assert canary.call(PREDICT, chosen, token=token) == chosen
    labelled = predict_pb2.PredictRequest(model_spec={"name": "ua.default", "version_label": "stable"})
    for request_bytes in (REQUEST, labelled.SerializeToString(), labelled.SerializeToString() + REQUEST):
        assert predict_pb2.PredictRequest.FromString(
            canary.call(PREDICT, request_bytes, token=token)
        ) == predict_pb2.PredictRequest.FromString(REQUEST)
