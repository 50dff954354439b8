"""The DAGs in a real Airflow: they load, they run, and what they leave behind is right."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from roost.adapters.kafka import open_admin, open_source
from roost.contracts.cloudevents import decode
from roost.contracts.desired import STABLE, DesiredModel, DesiredState, DesiredVersion
from roost.contracts.events import ModelReady, Topic
from roost.contracts.ids import desired_object
from roost.ports.event_bus import TopicSpec
from roost.ports.object_store import ObjectStore
from roost.settings import KafkaSettings
from tests.integration.dags.conftest import InAirflow
from tests.unit.training.artifacts import deploy

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]


def serve(store: ObjectStore, *customers: str) -> None:
    models = tuple(
        DesiredModel(
            name=f"{customer}.default",
            versions=(DesiredVersion(version=1, digest="sha256:" + "0" * 64, rollout_id="r"),),
            labels={STABLE: 1},
        )
        for customer in sorted(customers)
    )
    found = store.stat(desired_object("default"))
    content = DesiredState(pool="default", generation=1, models=models).encoded()
    store.write(desired_object("default"), content, if_generation=found.generation if found else 0)


def test_every_dag_loads_with_a_form_and_retries_and_without_heavy_imports(in_airflow: InAirflow) -> None:
    found = in_airflow("folder")
    assert found["errors"] == {}
    assert set(found["dags"]) == {"train_customer_model", "retrain_due_customers", "retire_customer_models"}
    assert found["loaded"] == []
    # An outage of the object store of minutes once failed a retirement for good.
    retire = found["dags"]["retire_customer_models"]
    assert all(retries >= 40 for retries in retire["tasks"].values())
    train = found["dags"]["train_customer_model"]
    assert list(train["tasks"]) == ["prepare", "train_and_stage", "publish"]
    assert train["tasks"]["publish"] >= 40
    assert train["params"] == ["customer_id", "data_window", "model", "reason", "wave_id"]
    assert found["dags"]["retrain_due_customers"]["schedule"] is not None
    assert all(retries > 0 for dag in found["dags"].values() for retries in dag["tasks"].values())


def test_training_stages_publishes_and_links_to_its_rollout(
    in_airflow: InAirflow, store: ObjectStore, fresh_broker: KafkaSettings
) -> None:
    open_admin(fresh_broker).ensure([TopicSpec(name=Topic.MODELS_READY, partitions=1, retention_ms=-1)])
    conf = json.dumps({"customer_id": "yv", "reason": "a test", "wave_id": "w1"})
    ended = in_airflow("train_customer_model", conf, ROOST_KAFKA__BOOTSTRAP=fresh_broker.bootstrap)
    assert ended["tasks"] == dict.fromkeys(["prepare", "train_and_stage", "publish"], "success")
    told = ended["xcoms"]["publish.return_value"]
    run_id = ended["xcoms"]["train_and_stage.return_value"]["run_id"]
    assert told["rollout_page"].startswith("http://console.test:8088/rollouts?run_id=manual__")
    assert ended["xcoms"]["publish._link_RolloutLink"] == told["rollout_page"]
    assert store.stat(f"staging/yv/default/{run_id}/MANIFEST.json") is not None

    source = open_source(fresh_broker, [Topic.MODELS_READY], "test")
    deliveries = []
    until = datetime.now(UTC) + timedelta(seconds=60)
    while not deliveries and datetime.now(UTC) < until:
        deliveries = list(source.poll(2))
    source.close()
    (event,) = [decode(delivery.value, delivery.headers) for delivery in deliveries]
    assert isinstance(event.data, ModelReady)
    assert event.id == told["event_id"]
    assert (event.data.customer, event.data.run_id, event.data.wave_id) == ("yv", run_id, "w1")
    assert event.data.artifact_digest == told["digest"]


@pytest.mark.long
def test_a_customer_without_data_fails_at_once_and_is_not_retried(in_airflow: InAirflow) -> None:
    ended = in_airflow("seen", "train_customer_model", json.dumps({"customer_id": "zz"}))
    assert (ended["state"], ended["seen"]) == ("failed", "failed")
    # What the consumer that follows the run reads through Airflow's API.
    assert list(ended["failures"]) == ["train_and_stage"]
    assert "zz" in ended["failures"]["train_and_stage"]
    assert [(run, customer) for run, customer, _ in ended["failed"]] == [(ended["run_id"], "zz")]
    assert ended["failed"][0][2] is not None
    assert (ended["later"], ended["nobody"], ended["unknown"]) == ([], [], [None])
    assert ended["tasks"] == {"prepare": "success", "train_and_stage": "failed", "publish": "upstream_failed"}


@pytest.mark.long
def test_who_is_due_gets_a_run_each_named_by_customer_and_wave(in_airflow: InAirflow, store: ObjectStore) -> None:
    now = datetime.now(UTC)
    for customer, days in (("ua", 40), ("dl", 50), ("b6", 1)):
        deploy(store, customer, 1, trained_at=now - timedelta(days=days))
    serve(store, "ua", "dl", "b6")
    conf = json.dumps({"older_than_days": 30, "spread_minutes": 60, "label": "w7"})
    ended = in_airflow("retrain_due_customers", conf)
    assert ended["state"] == "success"
    started = {name: run for name, run in ended["started"].items() if name.endswith("__w7")}
    assert set(started) == {"retrain__dl__w7", "retrain__ua__w7"}
    assert started["retrain__ua__w7"]["conf"]["wave_id"] == "w7"
    assert "http://console.test:8088/rollouts?run_id=retrain__ua__w7" in started["retrain__ua__w7"]["note"]
    first, second = (datetime.fromisoformat(started[f"retrain__{name}__w7"]["after"]) for name in ("dl", "ua"))
    assert second - first == timedelta(minutes=30)
    again = in_airflow("retrain_due_customers", conf)
    assert {name for name in again["started"] if name.endswith("__w7")} == set(started)


def test_a_customer_that_left_is_deleted_once_nothing_serves_them(in_airflow: InAirflow, store: ObjectStore) -> None:
    deploy(store, "vx", 1, trained_at=datetime.now(UTC))
    serve(store)
    ended = in_airflow("retire_customer_models", json.dumps({"customer_id": "vx", "reason": "left"}))
    assert ended["tasks"] == {"until_unserved": "success", "delete_artifacts": "success"}
    assert ended["xcoms"]["delete_artifacts.return_value"] == 2
    assert list(store.list("models/vx/")) == []


@pytest.mark.long
def test_a_customer_that_came_back_keeps_what_was_trained_since(in_airflow: InAirflow, store: ObjectStore) -> None:
    deploy(store, "hx", 1, trained_at=datetime.now(UTC) - timedelta(days=1))
    deploy(store, "hx", 2, trained_at=datetime.now(UTC) + timedelta(hours=1))
    serve(store)
    ended = in_airflow("retire_customer_models", json.dumps({"customer_id": "hx", "reason": "left"}))
    assert ended["tasks"] == {"until_unserved": "success", "delete_artifacts": "success"}
    assert {stored.name.split("/")[3] for stored in store.list("models/hx/")} == {"2"}
