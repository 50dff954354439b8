"""Who may ask: tokens, and the customers that they are bound to. REST and gRPC say the same in their own forms."""

from __future__ import annotations

import base64
import json
import time

import jwt
import pytest
from tensorflow_serving.apis import inference_pb2

from roost.adapters.tf_messages import get_model_status_pb2, model_pb2, predict_pb2
from serving.gateway.tokens import SigningKey, key_set
from tests.integration.gateway.asking import PATH, PREDICT, a_token, by_grpc, by_rest, called
from tests.integration.gateway.running import Running, logged
from tests.integration.gateway.stand_in import StandIn

pytestmark = pytest.mark.integration

MULTI_INFERENCE = "/tensorflow.serving.PredictionService/MultiInference"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"


def test_a_sound_token_opens_both_ways_and_does_not_reach_the_model_server(
    token_gateway: Running, signing_key: SigningKey, model_server: StandIn
):
    token = a_token(signing_key)

    status, seen = by_rest(token_gateway, token)

    assert status == 200
    assert "authorization" not in seen["headers"]  # type: ignore[operator]  # the echo's own document
    assert by_grpc(token_gateway, token) == ("OK", "")
    assert "authorization" not in model_server.calls.metadata


def _none_signed() -> str:
    claims = {"iss": "roost", "aud": "roost-predictions", "sub": "x", "exp": time.time() + 600}
    return jwt.encode(claims, None, algorithm="none")


def _signed_with_the_public_key(key: SigningKey) -> str:
    """The classic confusion: the public key, which everybody has, used as a shared secret."""
    public = json.loads(key_set([key]))["keys"][0]["n"]
    claims = {"iss": "roost", "aud": "roost-predictions", "sub": "x", "exp": time.time() + 600}
    return jwt.encode(claims, public, algorithm="HS256", headers={"kid": key.kid})


def _altered(token: str) -> str:
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["sub"] = "somebody-else"
    return ".".join((head, base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("="), signature))


def _signed(key: SigningKey, **changes: object) -> str:
    """A token with these claims changed; None leaves one out."""
    claims: dict[str, object] = {"iss": "roost", "aud": "roost-predictions", "sub": "x", "exp": time.time() + 600}
    kept = {name: value for name, value in (claims | changes).items() if value is not None or name == "labels"}
    return jwt.encode(kept, key.private, algorithm="RS256", headers={"kid": key.kid})


@pytest.mark.parametrize(
    ("fault", "http_status", "grpc_status"),
    [
        ("none", 401, "UNAUTHENTICATED"),
        ("expired", 401, "UNAUTHENTICATED"),
        ("no expiry", 401, "UNAUTHENTICATED"),
        ("not yet valid", 401, "UNAUTHENTICATED"),
        ("wrong audience", 403, "PERMISSION_DENIED"),
        ("wrong issuer", 401, "UNAUTHENTICATED"),
        ("algorithm none", 401, "UNAUTHENTICATED"),
        ("algorithm HS256", 401, "UNAUTHENTICATED"),
        ("another key", 401, "UNAUTHENTICATED"),
        ("altered", 401, "UNAUTHENTICATED"),
        ("garbage", 401, "UNAUTHENTICATED"),
    ],
)
def test_an_unsound_token_is_refused_in_the_form_of_each_api(
    token_gateway: Running, signing_key: SigningKey, fault: str, http_status: int, grpc_status: str
):
    token = {
        "none": lambda: None,
        "expired": lambda: a_token(signing_key, now=time.time() - 3600),
        "no expiry": lambda: _signed(signing_key, exp=None),
        "not yet valid": lambda: _signed(signing_key, nbf=time.time() + 600),
        "wrong audience": lambda: a_token(signing_key, audience="roost-console"),
        "wrong issuer": lambda: a_token(signing_key, issuer="mallory"),
        "algorithm none": _none_signed,
        "algorithm HS256": lambda: _signed_with_the_public_key(signing_key),
        "another key": lambda: a_token(SigningKey.create()),
        "altered": lambda: _altered(a_token(signing_key)),
        "garbage": lambda: "not.a.token",
    }[fault]()

    status, answer = by_rest(token_gateway, token)
    code, details = by_grpc(token_gateway, token)

    assert status == http_status, answer
    assert set(answer) == {"error"}
    assert code == grpc_status
    assert details


def test_a_token_in_the_url_does_not_count(token_gateway: Running, signing_key: SigningKey):
    status, _ = by_rest(token_gateway, None, f"{PATH}?access_token={a_token(signing_key)}")

    assert status == 401


def test_a_path_that_does_not_pass_asks_for_a_token_first(token_gateway: Running):
    status, _ = by_rest(token_gateway, None, "/monitoring/prometheus/metrics")

    assert status == 401


def test_a_bound_token_opens_its_customers_models_and_no_others(token_gateway: Running, signing_key: SigningKey):
    token = a_token(signing_key, customers=("ua", "oo"))

    for name in ("ua.default", "oo.delays"):
        assert by_rest(token_gateway, token, f"/v1/models/{name}/versions/3:predict")[0] == 200
        assert by_grpc(token_gateway, token, name) == ("OK", "")
    for name in ("dl.default", "uaa.default", "u.default", "ua", "dl.ua.default"):
        assert by_rest(token_gateway, token, f"/v1/models/{name}:predict") == (
            403,
            {"error": "the token does not open this model"},
        )
        assert by_grpc(token_gateway, token, name) == ("PERMISSION_DENIED", "the token does not open this model")


def test_a_token_bound_to_nobody_opens_nothing(token_gateway: Running, signing_key: SigningKey):
    token = a_token(signing_key, customers=())

    assert by_rest(token_gateway, token)[0] == 403
    assert by_grpc(token_gateway, token)[0] == "PERMISSION_DENIED"


@pytest.mark.parametrize("claim", ["ua", {"ua": True}, [["ua"]], 1, True, None])
def test_a_binding_that_is_not_a_list_of_customers_opens_nothing(
    token_gateway: Running, signing_key: SigningKey, claim: object
):
    claims = {"iss": "roost", "aud": "roost-predictions", "sub": "x", "exp": time.time() + 600, "customers": claim}
    token = jwt.encode(claims, signing_key.private, algorithm="RS256", headers={"kid": signing_key.kid})

    assert by_rest(token_gateway, token)[0] == 403
    assert by_grpc(token_gateway, token)[0] == "PERMISSION_DENIED"


def test_a_bound_token_asks_for_the_status_of_its_own_models_only(token_gateway: Running, signing_key: SigningKey):
    token = a_token(signing_key, customers=("ua",))

    def status(name: str) -> tuple[str, str]:
        request = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": name})
        return called(token_gateway, STATUS, request.SerializeToString(), token)

    assert status("ua.default") == ("OK", "")
    assert status("dl.default")[0] == "PERMISSION_DENIED"


def test_one_foreign_task_closes_a_whole_multi_inference(token_gateway: Running, signing_key: SigningKey):
    token = a_token(signing_key, customers=("ua",))
    own, foreign = (
        inference_pb2.InferenceTask(model_spec={"name": name, "version": {"value": 3}})
        for name in ("ua.default", "dl.default")
    )

    def outcome(*tasks: inference_pb2.InferenceTask) -> str:
        request = inference_pb2.MultiInferenceRequest(tasks=tasks)
        return called(token_gateway, MULTI_INFERENCE, request.SerializeToString(), token)[0]

    assert outcome(own, own) == "OK"
    assert outcome(own, foreign) == "PERMISSION_DENIED"


def test_a_name_hidden_in_a_second_piece_of_the_spec_does_not_slip_through(
    token_gateway: Running, signing_key: SigningKey
):
    """protobuf merges pieces of a message, and the last name wins: the model server would have seen the foreign one."""
    token = a_token(signing_key, customers=("ua",))
    own, foreign = (model_pb2.ModelSpec(name=name).SerializeToString() for name in ("ua.default", "dl.default"))
    request = b"".join(b"\x0a" + bytes([len(spec)]) + spec for spec in (own, foreign))
    assert predict_pb2.PredictRequest.FromString(request).model_spec.name == "dl.default"

    assert called(token_gateway, PREDICT, request, token)[0] == "PERMISSION_DENIED"


def test_the_access_log_names_the_subject_and_never_the_token(token_gateway: Running, signing_key: SigningKey):
    token = a_token(signing_key, subject="app-for-the-log")
    by_rest(token_gateway, token)
    by_grpc(token_gateway, token)
    file = token_gateway.config.settings.access_log
    assert file is not None

    until = time.monotonic() + 60
    lines: list[dict[str, object]] = []
    while len(lines) < 2 and time.monotonic() < until:
        lines = [line for line in logged(file) if line["subject"] == "app-for-the-log"]
        time.sleep(0.05)

    assert [line["subject"] for line in lines] == ["app-for-the-log"] * 2
    assert [(line["api"], line["customer"], line["model"]) for line in lines] == [
        ("rest", "ua", "ua.default"),
        ("grpc", "ua", "ua.default"),
    ]
    assert token not in file.read_text()
