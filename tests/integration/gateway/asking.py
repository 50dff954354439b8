"""Asks a gateway with a token, by REST and by gRPC."""

from __future__ import annotations

import time

import grpc

from roost.adapters.tf_messages import predict_pb2
from serving.gateway.tokens import Grant, SigningKey, mint
from tests.integration.gateway.running import Running

PREDICT = "/tensorflow.serving.PredictionService/Predict"
PATH = "/v1/models/ua.default:predict"


def a_token(key: SigningKey, **changes: object) -> str:
    grant = {
        "subject": "app-7",
        "issuer": "roost",
        "audience": "roost-predictions",
        "lifetime": 600,
        "customers": None,
        "now": time.time(),
    }
    grant |= changes
    now = float(str(grant.pop("now")))
    return mint(key, Grant(**grant), now=now)  # type: ignore[arg-type]  # the test's own table


def by_rest(gateway: Running, token: str | None, path: str = PATH) -> tuple[int, dict[str, object]]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    answer = gateway.client.post(path, json={"instances": [1]}, headers=headers)
    return answer.status_code, answer.json()


def by_grpc(gateway: Running, token: str | None, name: str = "ua.default") -> tuple[str, str]:
    request = predict_pb2.PredictRequest(model_spec={"name": name}).SerializeToString()
    return called(gateway, PREDICT, request, token)


def called(gateway: Running, method: str, request: bytes, token: str | None) -> tuple[str, str]:
    try:
        gateway.call(method, request, token=token)
    except grpc.RpcError as error:
        return error.code().name, error.details() or ""
    return "OK", ""


def codes(gateway: Running, token: str) -> tuple[int, str]:
    return by_rest(gateway, token)[0], by_grpc(gateway, token)[0]
