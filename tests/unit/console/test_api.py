"""The REST API: what it answers, and what it says when it cannot."""

from __future__ import annotations

import httpx
import pytest

from roost.adapters.in_memory.ledger import InMemoryLedger
from roost.contracts.errors import DatabaseUnavailable
from roost.ports.ledger import Freeze
from tests.console.world import AIRLINES, World
from tests.unit.console.conftest import running


async def test_rollouts_come_newest_first_and_page_by_page(client: httpx.AsyncClient):
    seen: list[str] = []
    before = None
    for _ in range(10):
        asked = {"limit": "4"} | ({"before": before} if before else {})
        page = (await client.get("/api/v1/rollouts", params=asked)).json()
        seen += [row["id"] for row in page["items"]]
        before = page["next_before"]
        if before is None:
            break
    whole = (await client.get("/api/v1/rollouts", params={"limit": "100"})).json()["items"]
    assert seen == [row["id"] for row in whole]
    assert len(seen) == 14
    received = [row["received_at"] for row in whole]
    assert received == sorted(received, reverse=True)


async def test_rollouts_are_filtered_by_customer_phase_and_run(client: httpx.AsyncClient):
    async def ids(**asked: str) -> set[str]:
        answer = await client.get("/api/v1/rollouts", params=asked)
        return {f"{row['customer']} {row['phase']}" for row in answer.json()["items"]}

    assert await ids(customer="ua") == {"ua LIVE", "ua SETTLED"}
    assert await ids(phase="REJECTED") == {"dl REJECTED", "aa REJECTED"}
    assert await ids(run_id="signup-ua") == {"ua SETTLED"}
    assert await ids(customer="nobody") == set()


async def test_one_rollout_has_history_with_seconds_verdict_and_replicas(client: httpx.AsyncClient):
    newest = (await client.get("/api/v1/rollouts", params={"customer": "ua"})).json()["items"][0]
    found = (await client.get(f"/api/v1/rollouts/{newest['id']}")).json()
    assert [line["after"] for line in found["history"]] == [
        "RECEIVED",
        "STORED",
        "VETTED",
        "CANARY",
        "PROMOTING",
        "LIVE",
    ]
    assert found["history"][0]["seconds"] is None
    assert found["history"][-1]["seconds"] == pytest.approx(0.46, abs=0.001)
    assert [check["check"] for check in found["verdict"]["checks"]] == ["load", "signature", "golden", "sanity"]
    assert [replica["serves"] for replica in found["replicas"]] == [True, True, True]
    assert found["quarantine"] is None


async def test_a_rolled_back_rollout_carries_its_quarantine(client: httpx.AsyncClient):
    newest = (await client.get("/api/v1/rollouts", params={"customer": "ev"})).json()["items"][0]
    found = (await client.get(f"/api/v1/rollouts/{newest['id']}")).json()
    assert found["quarantine"]["actor"] == "maria"
    assert [entry["digest"] for entry in (await client.get("/api/v1/quarantines")).json()] == [newest["digest"]]


async def test_why_answers_for_every_customer(client: httpx.AsyncClient):
    for customer in AIRLINES:
        answer = await client.get(f"/api/v1/why/{customer}")
        assert answer.status_code == 200
        assert answer.json()["name"] == f"{customer}.default"


async def test_a_customer_has_onboarding_live_rollout_and_freezes(client: httpx.AsyncClient):
    found = (await client.get("/api/v1/customers/b6")).json()
    assert found["onboarding"]["name"] == "JetBlue Airways"
    assert found["live"]["version"] == 1
    assert [entry["reason"] for entry in found["freezes"]] == ["their launch day"]


async def test_the_fleet_shows_a_dead_node_and_a_node_that_is_behind(client: httpx.AsyncClient, world: World):
    world.pool.faults("default-2").down = True
    default, canary = (await client.get("/api/v1/fleet")).json()["pools"]
    down = {node["node"]: node["reachable"] for node in default["nodes"]}
    assert down == {"default-1": True, "default-2": False, "default-3": True}
    assert default["nodes_behind"] == 1
    assert canary["pool"] == "canary"


async def test_events_are_those_after_a_sequence_oldest_first(client: httpx.AsyncClient):
    page = (await client.get("/api/v1/events", params={"limit": "3"})).json()
    sequences = [event["sequence"] for event in page["items"]]
    assert sequences == sorted(sequences)
    assert len(sequences) == 3
    later = (await client.get("/api/v1/events", params={"after": page["last_sequence"]})).json()
    assert later == {"items": [], "last_sequence": page["last_sequence"]}


async def test_the_audit_list_has_who_why_and_the_outcome(client: httpx.AsyncClient):
    (row,) = (await client.get("/api/v1/commands")).json()
    assert (row["actor"], row["command"], row["customer"]) == ("maria", "reject", "us")
    assert row["outcome"] == "rejected: version 1 is CANCELLED"
    assert row["seconds"] == pytest.approx(0.2, abs=0.001)


async def test_pauses_and_freezes_are_told_apart(client: httpx.AsyncClient, world: World):
    world.ledger.freeze(Freeze(scope="paused:fleet", reason="bad data", actor="ann", at=world.clock.now()))
    found = {(entry["kind"], entry["scope"]) for entry in (await client.get("/api/v1/freezes")).json()}
    assert found == {("freeze", "b6"), ("pause", "fleet")}


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/api/v1/why/zz", 404, "nothing is known of customer 'zz'"),
        ("/api/v1/why/UPPER", 422, "'UPPER' is not valid"),
        ("/api/v1/why/" + "a" * 64, 422, "is not valid"),
        ("/api/v1/customers/..", 404, ""),
        ("/api/v1/customers/zz", 404, "zz"),
        ("/api/v1/rollouts/none", 404, "none"),
        ("/api/v1/rollouts?customer=../x", 422, "'../x' is not valid"),
        ("/api/v1/rollouts?phase=NOPE", 422, "phase"),
        ("/api/v1/rollouts?limit=0", 422, "limit"),
        ("/api/v1/rollouts?before=yesterday", 422, "before"),
        ("/api/v1/events?after=-1", 422, "after"),
        ("/api/v1/nowhere", 404, ""),
    ],
)
async def test_what_is_wrong_is_a_problem_document_with_a_remedy(
    client: httpx.AsyncClient, path: str, status: int, says: str
):
    answer = await client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert says in problem["detail"]
    assert problem["remedy"]
    assert problem["type"].startswith("urn:roost:problem:")


async def test_a_database_that_is_down_is_503_with_a_remedy_and_not_ready(world: World):
    class Down(InMemoryLedger):
        def rollouts(self, query: object) -> list[object]:
            raise DatabaseUnavailable("PostgreSQL at 127.0.0.1:5432 does not answer")

        freezes = rollouts

    world.ledger = Down(world.clock)
    Down.freezes = lambda self: self.rollouts(None)  # type: ignore[method-assign]  # the fault of this test
    async with running(world) as (_, browser), browser() as client:
        answer = await client.get("/api/v1/rollouts")
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert "roost status" in answer.json()["remedy"]
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert "PostgreSQL" in ready.json()["parts"]["ledger"]
        assert (await client.get("/healthz")).status_code == 200


async def test_the_description_names_every_address_and_its_errors(client: httpx.AsyncClient):
    document = (await client.get("/api/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert {"/api/v1/rollouts", "/api/v1/why/{customer}", "/api/v1/commands", "/api/v1/events/stream"} <= set(
        document["paths"]
    )
    problem = document["paths"]["/api/v1/rollouts"]["get"]["responses"]["503"]["content"]["application/problem+json"]
    assert problem["schema"]["$ref"] == "#/components/schemas/Problem"
    assert "remedy" in document["components"]["schemas"]["Problem"]["properties"]


async def test_the_swagger_page_loads_nothing_from_elsewhere(client: httpx.AsyncClient):
    page = (await client.get("/docs")).text
    assert "https://" not in page
    assert (await client.get("/static-offline-docs/swagger-ui-bundle.js")).status_code == 200


async def test_metrics_count_what_people_asked_for_and_what_was_refused(client: httpx.AsyncClient):
    await client.post("/api/v1/commands", json={"command": "freeze", "reason": "night"})
    await client.post("/api/v1/commands", content="{}")
    answer = await client.get("/metrics")
    assert 'roost_console_commands_total{command="freeze",result="accepted"}' in answer.text
    assert 'roost_console_refused_requests_total{status="415"}' in answer.text
