"""What holds the capacity when machines go: spread over them, budgets for evictions, and room to grow where it is right."""

from __future__ import annotations

import pytest

from tests.integration.manifests.test_overlays import OVERLAYS, Object, of, rendered, template

pytestmark = pytest.mark.integration

#: Two of each take rows in, and one away for a moment delays nobody: Kafka keeps what comes.
WITHOUT_BUDGET = {"roost-signup-consumer", "roost-model-consumer", "roost-pool-canary"}


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> tuple[Object, ...]:
    return rendered(request.param)


def selects(selector: Object, labels: Object) -> bool:
    """Whether it is exactly one workload's pods."""
    return bool(selector["matchLabels"].items() <= labels.items())


def test_every_process_of_several_replicas_is_spread_over_machines(objects: tuple[Object, ...]) -> None:
    for deployment in of(objects, "Deployment"):
        name, pod = deployment["metadata"]["name"], template(deployment)
        spread = {one["topologyKey"]: one for one in pod["spec"].get("topologySpreadConstraints", ())}
        if deployment["spec"].get("replicas") == 1 and "roost/pool" not in deployment["metadata"]["labels"]:
            continue
        assert "kubernetes.io/hostname" in spread, name
        for one in spread.values():
            assert selects(one["labelSelector"], pod["metadata"]["labels"]), name
            # A machine less must not keep a replica from coming back.
            assert one["whenUnsatisfiable"] == "ScheduleAnyway", name
        if "roost/pool" in deployment["metadata"]["labels"]:
            assert "topology.kubernetes.io/zone" in spread, name


def test_who_is_waited_for_has_a_budget_that_lets_one_go_and_never_blocks_a_drain(objects: tuple[Object, ...]) -> None:
    budgets = of(objects, "PodDisruptionBudget")
    for deployment in of(objects, "Deployment"):
        labels = template(deployment)["metadata"]["labels"]
        mine = [one for one in budgets if selects(one["spec"]["selector"], labels)]
        assert len(mine) == (deployment["metadata"]["name"] not in WITHOUT_BUDGET), deployment["metadata"]["name"]
    for budget in budgets:
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_the_serving_pool_grows_with_its_load_and_nothing_else_does(objects: tuple[Object, ...]) -> None:
    (scaler,) = of(objects, "HorizontalPodAutoscaler")
    spec = scaler["spec"]
    assert spec["scaleTargetRef"]["name"] == "roost-pool-default"
    (pool,) = [one for one in of(objects, "Deployment") if one["metadata"]["name"] == "roost-pool-default"]
    # How many there are is the autoscaler's: an apply would set them back each time.
    assert "replicas" not in pool["spec"]
    assert 3 <= spec["minReplicas"] <= spec["maxReplicas"]
    # Utilisation is a share of what is requested.
    (node,) = template(pool)["spec"]["containers"]
    assert "cpu" in node["resources"]["requests"]
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] >= 600


def test_the_schema_and_the_topics_are_jobs_of_the_version_that_may_be_run_again(objects: tuple[Object, ...]) -> None:
    jobs = {one["metadata"]["name"]: template(one)["spec"]["containers"][0] for one in of(objects, "Job")}
    commands = {name.rsplit("-", 3)[0]: container["command"][:3] for name, container in jobs.items()}
    assert commands == {
        "roost-migrate": ["roost", "database", "migrate"],
        "roost-topics": ["roost", "topics", "ensure"],
    }
    for name, container in jobs.items():
        version = ".".join(name.rsplit("-", 3)[1:])
        assert container["image"].rpartition(":")[2] == version
