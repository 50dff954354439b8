"""The main way through the cluster: from a signup to an answer, with nothing but the manifests."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.cluster.world import World

pytestmark = pytest.mark.timeout(900)


def test_a_signup_event_becomes_an_answer_of_every_replica_through_the_gateways_of_their_pods(
    world: World, bystander: str
) -> None:
    live = world.rollout(bystander)
    assert live is not None
    assert world.until("every replica answers", lambda: world.answers_everywhere(bystander, live.version), 180)
    types = Counter(event.type for event in world.events() if event.subject.startswith(bystander))
    assert types["roost.rollout.live.v1"] == 1
    console = next(iter(world.pods("roost-console", None)))
    said = world.node.exec(console, "console", "roost", "why", bystander)
    assert "answers on 3 of 3 replicas" in said.stdout, said.stdout + said.stderr


def test_the_service_leads_to_ready_replicas_by_rest_and_grpc(world: World, bystander: str) -> None:
    with world.load(bystander, per_second=40) as load:
        world.until("a hundred answers", lambda: load.report.total >= 100, 180)
    assert load.report.failures == []


def test_every_pod_runs_from_the_manifests_under_restricted_pod_security(world: World) -> None:
    labels = world.cluster.get("namespace", "roost")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    names = {pod["metadata"]["labels"]["app.kubernetes.io/name"] for pod in world.get("pods")["items"]}
    expected = {"deployer", "signup-consumer", "model-consumer", "console", "node", "migrate", "topics"}
    assert {f"roost-{name}" for name in expected} <= names
    assert {job["metadata"]["name"]: job["status"].get("succeeded") for job in world.get("jobs")["items"]}.items() >= {
        "roost-migrate-0-1-0": 1,
        "roost-topics-0-1-0": 1,
    }.items()
