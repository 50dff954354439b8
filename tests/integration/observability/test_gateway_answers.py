"""What the gateway counts as failed, on the real Envoy: the servers' side, not the client's, on both doors."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest

from roost.adapters.tf_messages import predict_pb2
from tests.integration.gateway.running import Running, configured, running
from tests.parts import free_port

pytestmark = pytest.mark.integration

PREDICT = "/tensorflow.serving.PredictionService/Predict"
PATH = "/v1/models/ua.default:predict"


class Failing(grpc.GenericRpcHandler):
    """A model server of which one model fails inside, and another is asked wrongly."""

    def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            name = predict_pb2.PredictRequest.FromString(request).model_spec.name
            if name == "bad.default":
                context.abort(grpc.StatusCode.INTERNAL, "the graph failed")
            if name == "none.default":
                context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway whose model server answers gRPC only: its REST port is closed."""
    directory = tmp_path_factory.mktemp("failing")
    socket = directory / "model.sock"
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((Failing(),))
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    try:
        with running(configured(directory, socket=socket, rest=f"127.0.0.1:{free_port()}")) as it:
            yield it
    finally:
        server.stop(None)


def ask(gateway: Running, name: str) -> str:
    request = predict_pb2.PredictRequest(model_spec={"name": name}).SerializeToString()
    try:
        gateway.call(PREDICT, request)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def test_a_grpc_call_counts_as_failed_where_the_server_failed_not_where_the_client_did(gateway: Running) -> None:
    before = gateway.admin.answers()["grpc"]
    names = ("ua.default", "bad.default", "none.default", "bad.default")
    assert [ask(gateway, name) for name in names] == ["OK", "INTERNAL", "NOT_FOUND", "INTERNAL"]
    after = gateway.admin.answers()["grpc"]
    assert (after.total - before.total, after.failed - before.failed) == (4, 2)


def test_a_rest_request_counts_as_failed_where_nobody_could_answer_it(gateway: Running) -> None:
    before = gateway.admin.answers()["rest"]
    refused: httpx.Response = gateway.client.post("/v1/nonsense", json={})
    failed: httpx.Response = gateway.client.post(PATH, json={}, timeout=20)
    assert (refused.status_code, failed.status_code) == (404, 503)
    after = gateway.admin.answers()["rest"]
    assert (after.total - before.total, after.failed - before.failed) == (2, 1)
