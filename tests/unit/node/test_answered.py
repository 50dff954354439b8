"""What a model server counts of one served name, read from its metrics page and told at the control port."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.contracts.traffic import Answered
from serving.model_server.metrics import Metrics
from serving.node.answered import read_page
from tests.unit.node.test_control import Port, port  # noqa: F401  (a fixture)

UA = "ua.default"


#: What the drop-in server shows after three predictions by gRPC and two by REST, five REST requests for the status and
#: four for the metadata, which were answered; three predictions and one request for a status, which were not.
PAGE = Path(__file__).with_name("model_server_page.txt").read_text()
#: Upper bound in seconds to predictions there.
TOOK = {6.1222e-04: 2, 1.102e-03: 1, 1.98359e-03: 1, 3.57047e-03: 1}


@pytest.fixture
def page() -> str:
    return PAGE


def test_answered_is_what_was_predicted_whichever_door_it_came_by_and_no_request_for_status_or_metadata(page: str):
    """Users' requests for the status made the live model look faster, and its share of failures smaller."""
    found = read_page(page, UA, 7)
    assert (found.server, found.ended) == (7, {"OK": 5, "INVALID_ARGUMENT": 2, "NOT_FOUND": 2})
    assert {round(bound, 8): count for bound, count in found.took if count} == TOOK
    assert (found.timed, found.total, found.failed) == (5, 9, 4)
    assert read_page(page, "aa.default", 7) == Answered(server=7, ended={"INVALID_ARGUMENT": 1})
    assert read_page(page, "oo.default", 7) == Answered(server=7)


@pytest.mark.parametrize(
    ("api", "entrypoint"), [(verb, door) for door in ("GRPC", "REST") for verb in ("predict", "classify", "regress")]
)
def test_every_way_to_predict_counts(api: str, entrypoint: str):
    metrics = Metrics()
    metrics.request_latency.add(UA, api.capitalize() if entrypoint == "GRPC" else api, entrypoint, value=1e13)
    metrics.request_latency.add("ua.default2", "predict", "REST", value=1.0)
    found = read_page(metrics.page(), UA, 7)
    assert (found.ended, {bound: count for bound, count in found.took if count}) == ({"OK": 1}, {1e9: 1})


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
