"""The node follows its policy file: the page's bounds and the gateway's copies, without a restart."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from roost.adapters.recordings import StoredRecordings
from roost.ports.clock import SystemClock
from tests.integration.node.world import eventually
from tests.integration.node_app.world import Town, a_row

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

ROWS = [a_row() for _ in range(4)]


@pytest.fixture
def file(town: Town) -> Iterator[Path]:
    """The policy file, put back afterwards, and in force again."""
    before = town.policy.read_text()
    yield town.policy
    # By way of one that can be told from it: else it could not be seen which of two is in force.
    town.policy.write_text("rules: {predictions: {max_rows: 3}}")
    eventually(lambda: town.ask("ua", *ROWS).status_code == 422, "another policy is in force")
    town.policy.write_text(before)
    eventually(lambda: town.ask("ua", *ROWS).status_code == 200, "the policy of before is in force")
    eventually(lambda: copies(town) > 0, "and the gateway copies by it")


def copies(town: Town) -> int:
    """Routes of the running gateway that copy to the node's page."""
    live = town.node.root / "gateway" / "live"
    return sum(part.read_text().count("request_mirror_policies") for part in live.glob("*.json"))


def gateways(town: Town) -> list[int]:
    """Its process, which no change of the policy may end."""
    assert town.node.process is not None
    children = psutil.Process(town.node.process.pid).children(recursive=True)
    found = [child.pid for child in children if "envoy" in child.name()]
    assert len(found) == 1
    return found


def test_a_change_is_followed_by_page_and_gateway_and_a_bad_one_is_not(town: Town, file: Path) -> None:
    assert copies(town) > 0
    before = gateways(town)
    assert town.ask("ua", *ROWS).status_code == 200
    file.write_text("rules: {predictions: {max_rows: 3}}")
    eventually(lambda: town.ask("ua", *ROWS).status_code == 422, "four rows are too many")
    eventually(lambda: copies(town) == 0, "nothing is copied any more")
    file.write_text("rules: {predictions: {max_rows: none}}")
    # The bound by the hour is lent out in twelfths, and the tests before took theirs: none may matter here.
    taps = "{rate: 1, per_hour: 100000, fields: {passenger: drop}}"
    file.write_text(f"rules: {{predictions: {{max_rows: 40}}, taps: {taps}}}")
    eventually(lambda: town.ask("ua", *ROWS).status_code == 200, "four rows are few enough")

    distances = itertools.count(4000.0)

    def recorded() -> bool:
        body = json.dumps({"instances": [a_row(distance=next(distances))]}).encode()
        assert town.post("/v1/models/ua.default:predict", body, token=town.token()).status_code == 200
        found = StoredRecordings(town.fleet.store, SystemClock()).newest("ua.default", 1000)
        return any(one.inputs["distance"][0] >= 4000 for one in found)

    eventually(recorded, "requests are copied and recorded again")
    assert gateways(town) == before
