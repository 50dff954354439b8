"""What the gateway is told of the page and of copies; off means that neither is there at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from roost.contracts.policy import Policy
from roost.settings import GatewaySettings
from serving.gateway.config import GatewayConfig
from serving.gateway.render import bootstrap
from serving.gateway.table import RoutingTable
from serving.node.app.rules import RuleBook


def rendered(page: Path | None = Path("/run/roost/page.sock"), recorded: float = 0.0) -> str:
    config = GatewayConfig(
        rest="127.0.0.1:8501",
        grpc="127.0.0.1:8500",
        upstream_grpc_socket=Path("/run/roost/model.sock"),
        upstream_rest="127.0.0.1:8601",
        admin_socket=Path("/run/roost/admin.sock"),
        settings=GatewaySettings(),
        work_dir=Path("/run/roost"),
        page_socket=page,
    )
    return json.dumps(bootstrap(config, RoutingTable(recorded=recorded)))


def test_without_a_page_there_is_neither_its_route_nor_its_cluster() -> None:
    assert "/v1/customers/[a-z0-9-]+" not in rendered(page=None)
    assert "node_page" not in rendered(page=None)
    assert "/v1/customers/[a-z0-9-]+" in rendered()


def test_taps_that_are_off_leave_no_trace() -> None:
    text = rendered(recorded=0.0)

    assert "node_taps" not in text
    assert "request_mirror_policies" not in text


@pytest.mark.parametrize(("rate", "numerator"), [(0.01, 10_000), (1.0, 1_000_000), (0.000001, 1)])
def test_copies_are_made_at_the_rate_of_predictions_only(rate: float, numerator: int) -> None:
    text = rendered(recorded=rate)

    # REST's prediction and gRPC's Predict; neither the page's own requests nor metadata nor status.
    assert text.count('"cluster": "node_taps"') == 2
    assert text.count(f'"numerator": {numerator}, "denominator": "MILLION"') == 2


def test_the_gateway_copies_at_the_highest_rate_that_anybody_has() -> None:
    def highest(document: dict[str, object]) -> float:
        return RuleBook(Policy.model_validate(document)).highest_rate

    assert highest({}) == 0
    assert highest({"rules": {"taps": {"rate": 0.1}}, "customers": {"ua": {"taps": {"rate": 0}}}}) == 0.1
    assert highest({"customers": {"ua": {"taps": {"rate": 0.5}}}}) == 0.5
    assert highest({"cohorts": {"c": {"customers": ["oo"], "rules": {"taps": {"rate": 0.2}}}}}) == 0.2
