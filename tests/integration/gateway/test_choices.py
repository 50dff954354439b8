"""Who may name which version: a token's claim `labels`, and the setting for callers whose token does not say it."""

from __future__ import annotations

from collections.abc import Iterator

import jwt
import pytest
from tensorflow_serving.apis import inference_pb2

from roost.adapters.tf_messages import get_model_metadata_pb2, model_pb2, predict_pb2
from roost.settings import GatewaySettings
from serving.gateway.tokens import SigningKey, key_set
from tests.integration.gateway.asking import PREDICT, a_token, by_rest, called
from tests.integration.gateway.running import Running, configured, running
from tests.integration.gateway.stand_in import StandIn

pytestmark = pytest.mark.integration

SERVICE = "/tensorflow.serving.PredictionService"
WORDS = "this version or label is not for the caller to choose: name none"
#: What a caller may name, and how each API says it.
CHOICES = {
    "nothing": ("", {}),
    "stable": ("/labels/stable", {"version_label": "stable"}),
    "previous": ("/labels/previous", {"version_label": "previous"}),
    "a version": ("/versions/3", {"version": {"value": 3}}),
}


@pytest.fixture(scope="module")
def strict_gateway(
    model_server: StandIn, signing_key: SigningKey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """Callers may name `stable` and `previous`, unless their token says otherwise."""
    directory = tmp_path_factory.mktemp("strict")
    keys = directory / "jwks.json"
    keys.write_text(key_set([signing_key]))
    settings = GatewaySettings(jwks_file=keys, choices=("previous",))
    with running(configured(directory, socket=model_server.socket, rest=model_server.rest, settings=settings)) as it:
        yield it


def opened(gateway: Running, token: str | None) -> set[str]:
    """What of `CHOICES` the caller may name. Both APIs must say the same."""
    found = set()
    for name, (path, spec) in CHOICES.items():
        request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(name="ua.default", **spec))  # type: ignore[arg-type]  # the test's own table
        rest = by_rest(gateway, token, f"/v1/models/ua.default{path}:predict")
        grpc = called(gateway, PREDICT, request.SerializeToString(), token)
        if rest[0] == 200:
            assert grpc[0] == "OK"
            found.add(name)
        else:
            assert rest == (403, {"error": WORDS})
            assert grpc == ("PERMISSION_DENIED", WORDS)
    return found


@pytest.mark.parametrize(
    ("labels", "may"),
    [
        (None, {"nothing", "stable", "previous", "a version"}),
        (("*",), {"nothing", "stable", "previous", "a version"}),
        (("stable",), {"nothing", "stable"}),
        ((), {"nothing", "stable"}),
        (("previous",), {"nothing", "stable", "previous"}),
        (("canary",), {"nothing", "stable"}),
    ],
)
def test_a_token_is_held_to_its_labels(
    token_gateway: Running, signing_key: SigningKey, labels: tuple[str, ...] | None, may: set[str]
):
    assert opened(token_gateway, a_token(signing_key, labels=labels)) == may


@pytest.mark.parametrize(
    ("labels", "may"),
    [
        (None, {"nothing", "stable", "previous"}),
        (("*",), {"nothing", "stable", "previous", "a version"}),
        (("stable",), {"nothing", "stable"}),
    ],
)
def test_a_setting_says_what_callers_may_name_whose_token_does_not(
    strict_gateway: Running, signing_key: SigningKey, labels: tuple[str, ...] | None, may: set[str]
):
    assert opened(strict_gateway, a_token(signing_key, labels=labels)) == may


@pytest.mark.parametrize("claim", ["*", {"*": True}, [["*"]], 1, True])
def test_a_claim_that_is_not_a_list_of_labels_opens_what_is_stable_only(
    token_gateway: Running, signing_key: SigningKey, claim: object
):
    assert opened(token_gateway, _claiming(signing_key, claim)) == {"nothing", "stable"}


def test_a_claim_of_null_opens_nothing(token_gateway: Running, signing_key: SigningKey):
    assert by_rest(token_gateway, _claiming(signing_key, None))[0] == 403


def test_without_tokens_the_setting_holds_for_everybody(
    model_server: StandIn, tmp_path_factory: pytest.TempPathFactory
):
    settings = GatewaySettings(choices=())
    directory = tmp_path_factory.mktemp("nobody")
    with running(configured(directory, socket=model_server.socket, rest=model_server.rest, settings=settings)) as it:
        assert opened(it, None) == {"nothing", "stable"}


def test_metadata_is_held_to_the_same_and_the_status_of_all_versions_is_not(
    token_gateway: Running, signing_key: SigningKey
):
    token = a_token(signing_key, labels=("stable",))
    headers = {"authorization": f"Bearer {token}"}
    request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec={"name": "ua.default", "version": {"value": 3}})

    def asked(path: str) -> int:
        return token_gateway.client.get(f"/v1/models/ua.default{path}", headers=headers).status_code

    assert [asked(path) for path in ("/versions/3/metadata", "/versions/3", "/labels/canary")] == [403] * 3
    assert [asked(path) for path in ("/metadata", "", "/labels/stable")] == [200] * 3
    assert called(token_gateway, f"{SERVICE}/GetModelMetadata", request.SerializeToString(), token)[0] == (
        "PERMISSION_DENIED"
    )


def test_one_task_with_a_version_closes_a_whole_multi_inference(token_gateway: Running, signing_key: SigningKey):
    token = a_token(signing_key, labels=("stable",))
    plain = inference_pb2.InferenceTask(model_spec={"name": "ua.default"})
    chosen = inference_pb2.InferenceTask(model_spec={"name": "ua.default", "version": {"value": 3}})

    def outcome(*tasks: inference_pb2.InferenceTask) -> str:
        request = inference_pb2.MultiInferenceRequest(tasks=tasks)
        return called(token_gateway, f"{SERVICE}/MultiInference", request.SerializeToString(), token)[0]

    assert outcome(plain, plain) == "OK"
    assert outcome(plain, chosen) == "PERMISSION_DENIED"


def test_a_version_hidden_behind_a_permitted_label_does_not_slip_through(
    token_gateway: Running, signing_key: SigningKey
):
    """protobuf merges pieces of a message: of version and label, the model server would have seen the last."""
    token = a_token(signing_key, labels=("stable",))
    label = model_pb2.ModelSpec(name="ua.default", version_label="stable").SerializeToString()
    version = model_pb2.ModelSpec(version={"value": 3}).SerializeToString()
    for pieces in ((label, version), (version, label)):
        request = b"".join(b"\x0a" + bytes([len(piece)]) + piece for piece in pieces)

        assert called(token_gateway, PREDICT, request, token)[0] == "PERMISSION_DENIED"


def _claiming(key: SigningKey, labels: object) -> str:
    claims = jwt.decode(a_token(key), options={"verify_signature": False})
    return jwt.encode({**claims, "labels": labels}, key.private, algorithm="RS256", headers={"kid": key.kid})
