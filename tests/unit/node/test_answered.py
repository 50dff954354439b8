"""What a model server counts of one served name, read from its metrics page and told at the control port."""

from __future__ import annotations

import pytest

from roost.contracts.traffic import Answered
from serving.model_server.metrics import Metrics
from serving.node.answered import read_page
from tests.unit.node.test_control import Port, port  # noqa: F401  (a fixture)

UA = "ua.default"


@pytest.fixture
def page() -> str:
    metrics = Metrics()
    for _ in range(3):
        metrics.request_count.add(UA, "OK")
    metrics.request_count.add(UA, "INVALID_ARGUMENT")
    metrics.request_count.add("ua.default2", "OK")
    metrics.request_latency.add(UA, "Predict", "GRPC", value=15.0)
    metrics.request_latency.add(UA, "Predict", "GRPC", value=40.0)
    metrics.request_latency.add(UA, "predict", "REST", value=16.0)
    metrics.request_latency.add(UA, "predict", "REST", value=1e13)
    metrics.request_latency.add("aa.default", "predict", "REST", value=1.0)
    return metrics.page()


def test_the_counts_of_one_name_are_read_whichever_door_they_came_by(page: str):
    found = read_page(page, UA, 7)
    assert (found.server, found.ended) == (7, {"OK": 3, "INVALID_ARGUMENT": 1})
    assert {bound: count for bound, count in found.took if count} == {1.8e-05: 2, 5.832e-05: 1, 1e9: 1}
    assert read_page(page, "oo.default", 7) == Answered(server=7)


def test_the_control_port_tells_them(port: Port, page: str):  # noqa: F811  (the fixture)
    headers = {"Authorization": "Bearer secret"}
    port.node.look()
    port.node.settle()
    port.node.server.page = page
    told = port.client.get(f"/answered/{UA}", headers=headers)
    assert Answered.model_validate_json(told.content) == read_page(page, UA, port.node.server.pid)
    assert port.client.get("/answered/ua", headers=headers).status_code == 422
    port.node.server.crash()
    assert port.client.get(f"/answered/{UA}", headers=headers).status_code == 503
