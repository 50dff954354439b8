"""One customer who floods is turned away; others do not notice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import pytest

from roost.adapters.tf_messages import predict_pb2
from roost.settings import GatewaySettings
from tests.integration.gateway.asking import PREDICT
from tests.integration.gateway.running import Running, configured, running
from tests.integration.gateway.stand_in import StandIn

pytestmark = pytest.mark.integration

BURST = 10
WORDS = "this customer's rate of requests is used up: ask again in a second"


@pytest.fixture
def limited(model_server: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One request a second, ten at once; `vip` has a rate of its own."""
    directory = tmp_path_factory.mktemp("rates")
    settings = GatewaySettings(customer_rate=1, customer_burst=BURST, customer_rates={"vip": 100})
    with running(configured(directory, socket=model_server.socket, rest=model_server.rest, settings=settings)) as it:
        yield it


@contextmanager
def gained() -> Iterator[Callable[[], float]]:
    """How many tokens a bucket of one a second may have gained since the block began, at most."""
    began = time.monotonic()
    yield lambda: time.monotonic() - began + 1


def by_rest(gateway: Running, name: str) -> int:
    return gateway.client.post(f"/v1/models/{name}:predict", json={}).status_code


def by_grpc(gateway: Running, name: str) -> str:
    request = predict_pb2.PredictRequest(model_spec={"name": name}).SerializeToString()
    try:
        gateway.call(PREDICT, request)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def test_a_hot_customer_is_limited_by_rest_and_others_are_not(limited: Running):
    with gained() as tokens:
        outcomes = Counter(by_rest(limited, "hot.default") for _ in range(3 * BURST))

    assert BURST <= outcomes[200] <= BURST + tokens()
    assert outcomes[200] + outcomes[429] == 3 * BURST
    # Another model of the same customer. Once a second there is a token for one request.
    answers = (limited.client.post("/v1/models/hot.another:predict", json={}) for _ in range(BURST))
    refused = next(answer for answer in answers if answer.status_code != 200)
    assert (refused.status_code, refused.json(), refused.headers["retry-after"]) == (429, {"error": WORDS}, "1")
    assert by_rest(limited, "ua.default") == 200
    assert by_grpc(limited, "ua.default") == "OK"


def test_a_hot_customer_is_limited_by_grpc_where_the_name_stands_in_the_message(limited: Running):
    with gained() as tokens:
        outcomes = Counter(by_grpc(limited, "hot.default") for _ in range(3 * BURST))

    assert BURST <= outcomes["OK"] <= BURST + tokens()
    assert outcomes["OK"] + outcomes["RESOURCE_EXHAUSTED"] == 3 * BURST
    assert by_grpc(limited, "ua.default") == "OK"


def test_a_refused_call_says_in_words_and_metadata_when_to_ask_again(limited: Running):
    request = predict_pb2.PredictRequest(model_spec={"name": "hot.default"}).SerializeToString()
    caught: grpc.RpcError | None = None
    for _ in range(2 * BURST):
        try:
            limited.call(PREDICT, request)
        except grpc.RpcError as error:
            caught = error
    assert caught is not None

    said = {**dict(caught.initial_metadata()), **dict(caught.trailing_metadata())}
    assert (caught.details(), said["retry-after"]) == (WORDS, "1")


def test_a_customer_with_a_rate_of_its_own_has_that_one(limited: Running):
    outcomes = Counter(by_rest(limited, "vip.default") for _ in range(3 * BURST))

    assert outcomes == {200: 3 * BURST}


def test_names_that_belong_to_nobody_share_one_bucket(limited: Running):
    with gained() as tokens:
        outcomes = Counter(by_rest(limited, f"name{number}") for number in range(3 * BURST))

    assert outcomes[200] <= BURST + tokens()
    assert by_rest(limited, "ua.default") == 200


def test_a_hot_customer_is_remembered_while_many_others_ask(
    model_server: StandIn, tmp_path_factory: pytest.TempPathFactory
):
    """Envoy remembers twenty if nobody tells it: one who is forgotten has a full bucket again."""
    directory = tmp_path_factory.mktemp("many")
    settings = GatewaySettings(customer_rate=1, customer_burst=BURST, max_customers=200)
    with running(configured(directory, socket=model_server.socket, rest=model_server.rest, settings=settings)) as it:
        with gained() as tokens:
            outcomes = Counter(by_rest(it, "hot.default") for _ in range(BURST))
            assert {by_rest(it, f"c{number}.default") for number in range(60)} == {200}
            outcomes += Counter(by_rest(it, "hot.default") for _ in range(BURST))

        assert BURST <= outcomes[200] <= BURST + tokens()


def test_without_a_rate_nobody_is_limited(open_gateway: Running):
    assert {by_rest(open_gateway, "hot.default") for _ in range(60)} == {200}
