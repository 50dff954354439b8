"""The page over HTTP: one form of refusal, request ids, and a description that loads nothing from elsewhere."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator

import httpx
import jsonschema
import pytest

from roost.adapters.in_memory.clock import ManualClock
from roost.ports.serving import Tensors
from serving.node.app.web import REQUEST_ID_HEADER, make_app
from tests.unit.node_app.world import World, a_row

PATH = "/v1/customers/ua/models/default:predict"
GOOD = json.dumps({"rows": [a_row()]}).encode()


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=make_app(world.service, ManualClock()))
    async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
        yield client


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "the body is not JSON"),
        (b"{", 400, "the body is not JSON"),
        (b"\xff\xfe", 400, "the body is not JSON"),
        (b"[" * 100_000, 400, "the body is not JSON"),
        (b'{"rows": [{"hour": ' + b"9" * 5000 + b"}]}", 400, "the body is not JSON"),
        (b"[]", 400, "the body is not of the form"),
        (b"{}", 400, "rows is not of the form: Field required"),
        (b'{"rows": []}', 400, "rows is not of the form: List should have at least 1 item"),
        (b'{"rows": {}}', 400, "rows is not of the form"),
        (b'{"rows": [{}], "row": []}', 400, "row is not of the form: Extra inputs"),
        (b'{"rows": [{}], "request_id": "a b"}', 400, "request_id is not of the form"),
        (b'{"rows": [{}], "request_id": "x\\ny"}', 400, "request_id is not of the form"),
        (b'{"rows": [{}], "version": 3}', 400, "version is not of the form: Extra inputs"),
        (b'{"rows": [7]}', 422, "row 0: is 7, where an object of inputs is needed"),
        (b'{"rows": [{"hour": NaN}]}', 422, "row 0"),
        (json.dumps({"rows": [a_row()] * 1001}).encode(), 422, "rows holds 1001 rows"),
    ],
)
async def test_each_bad_request_has_its_refusal_and_the_next_one_its_answer(
    client: httpx.AsyncClient, body: bytes, status: int, words: str
) -> None:
    refused = await client.post(PATH, content=body)
    answered = await client.post(PATH, content=GOOD)

    assert refused.status_code == status
    document = refused.json()
    assert words in document["error"]
    assert set(document) == {"error", "request_id", "problems", "more"}
    assert document["request_id"] == refused.headers[REQUEST_ID_HEADER]
    assert answered.status_code == 200
    assert answered.json()["model"]["version"] == 3


@pytest.mark.parametrize(
    "path",
    [
        "/v1/customers/UA/models/default:predict",
        "/v1/customers/ua/models/..:predict",
        "/v1/customers/%2e%2e/models/default:predict",
        "/v1/customers/ua.dl/models/default:predict",
        f"/v1/customers/{'a' * 64}/models/default:predict",
        "/v1/customers/ua%0a/models/default:predict",
        "/v1/customers/ua/models/default:classify",
        "/v1/customers/ua/models/default/versions/0:predict",
        "/v1/customers/ua/models/default/versions/99999999999999999999:predict",
        "/v1/customers/ua/models/default/versions/x:predict",
        "/v1/customers/ua/models/default/labels/a%20b:predict",
        "/v1/customers/ua/models/default",
    ],
)
async def test_a_path_that_is_none_is_refused_in_the_same_form(client: httpx.AsyncClient, path: str) -> None:
    refused = await client.post(path, content=GOOD)

    assert refused.status_code in {400, 404}
    assert set(refused.json()) == {"error", "request_id", "problems", "more"}


@pytest.mark.parametrize(("chosen", "label"), [("", "stable"), ("/versions/3", None), ("/labels/stable", "stable")])
async def test_a_version_or_a_label_stands_in_the_path(
    client: httpx.AsyncClient, chosen: str, label: str | None
) -> None:
    answered = await client.post(f"/v1/customers/ua/models/default{chosen}:predict", content=GOOD)

    assert (answered.json()["model"]["version"], answered.json()["model"]["label"]) == (3, label)


async def test_a_fault_of_ours_is_said_in_the_same_form(world: World) -> None:
    def broken(_: object) -> Tensors:
        raise ZeroDivisionError

    world.respond = broken
    transport = httpx.ASGITransport(app=make_app(world.service, ManualClock()), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
        refused = await client.post(PATH, content=GOOD)

    assert refused.status_code == 500
    assert "fault of the node" in refused.json()["error"]


async def test_the_request_id_is_the_callers_else_the_gateways_else_a_new_one(client: httpx.AsyncClient) -> None:
    own = json.dumps({"rows": [a_row()], "request_id": "order-17"}).encode()

    by_body = await client.post(PATH, content=own, headers={"x-request-id": "from-the-gateway"})
    by_header = await client.post(PATH, content=GOOD, headers={"x-request-id": "from-the-gateway"})
    made = await client.post(PATH, content=GOOD, headers={"x-request-id": 'forged" line'})

    for response, expected in ((by_body, "order-17"), (by_header, "from-the-gateway")):
        assert response.json()["request_id"] == response.headers[REQUEST_ID_HEADER] == expected
    assert len(made.json()["request_id"]) == 36


async def test_the_log_has_one_line_a_request_and_no_value_of_it(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "serving.node.app.web")
    body = json.dumps({"rows": [a_row(origin="jane.doe@example.com", hour="secret-hour")], "request_id": "r-7"})

    await client.post(PATH, content=body.encode())

    (record,) = caplog.records
    assert (record.action, record.customer, record.status, record.request_id) == ("predict", "ua", 422, "r-7")  # type: ignore[attr-defined]  # extras
    assert "jane.doe" not in str(vars(record))
    assert "secret-hour" not in str(vars(record))


async def test_the_description_holds_what_comes_over_the_wire(client: httpx.AsyncClient) -> None:
    document = (await client.get("/v1/openapi.json")).json()
    call = document["paths"]["/v1/customers/{customer}/models/{model}:predict"]["post"]
    resolver = {**document["components"]["schemas"]["PredictionAnswer"], "components": document["components"]}
    refusal = {**document["components"]["schemas"]["Refusal"], "components": document["components"]}

    jsonschema.validate((await client.post(PATH, content=GOOD)).json(), resolver)
    jsonschema.validate((await client.post(PATH, content=b'{"rows": [7]}')).json(), refusal)
    jsonschema.validate(json.loads(GOOD), call["requestBody"]["content"]["application/json"]["schema"])
    assert {"200", "400", "403", "404", "422", "503"} <= set(call["responses"])


async def test_the_description_says_where_a_token_and_a_key_go(client: httpx.AsyncClient) -> None:
    document = (await client.get("/v1/openapi.json")).json()

    asked = document["paths"]["/v1/customers/{customer}/models/{model}:predict"]["post"]
    assert asked["security"] == [{"token": []}]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert {parameter["name"] for parameter in asked["parameters"]} == {"customer", "model", "x-roost-key"}
    by_version = document["paths"]["/v1/customers/{customer}/models/{model}/versions/{version}:predict"]["post"]
    assert "x-roost-key" not in {parameter["name"] for parameter in by_version["parameters"]}


async def test_an_answer_says_which_label_gave_it_and_a_key_has_one_side(
    client: httpx.AsyncClient, world: World
) -> None:
    world.serve("ua.default", 2, stable=False)
    world.labels["ua.default"]["previous"] = 2
    world.splits["ua.default"] = {"previous": 50}

    sides = {}
    for key in [f"user-{number}" for number in range(20)] * 2:
        answer = await client.post(PATH, content=GOOD, headers={"x-roost-key": key})
        label = answer.headers["x-roost-label"]
        assert label == answer.json()["model"]["label"]
        assert sides.setdefault(key, label) == label
    without = {(await client.post(PATH, content=GOOD)).headers["x-roost-label"] for _ in range(60)}

    assert set(sides.values()) == without == {"stable", "previous"}


async def test_the_swagger_page_loads_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = (await client.get("/v1/docs")).text

    assert "https://" not in page
    assert (await client.get("/v1/docs-assets/swagger-ui-bundle.js")).status_code == 200
    assert (await client.get("/v1/docs-assets/../../pyproject.toml")).status_code == 404
