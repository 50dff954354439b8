"""One node for the whole suite: gateway with tokens, a policy with taps and a cohort's default."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.adapters.gcs import open_store
from serving.gateway.tokens import SigningKey, key_set
from tests.integration.model_server import built_models
from tests.integration.node.world import RunningNode
from tests.integration.node_app import models
from tests.integration.node_app.world import Fleet, Town
from tests.parts import gcs_server

POLICY = """\
version: 1
rules:
  predictions: {cohort_default: everyone, max_rows: 50}
  taps:
    rate: 1
    per_hour: 100000
    fields: {passenger: hash}
customers:
  private: {taps: {rate: 0}}
  alone: {predictions: {cohort_default: null}}
  plain: {taps: {fields: {passenger: drop, distance: drop}}}
"""


@pytest.fixture(scope="session")
def flight_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("flights")
    built_models.copy_to(root, Path(models.__file__), ())
    return root


@pytest.fixture(scope="session")
def town(flight_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    directory = tmp_path_factory.mktemp("town")
    (directory / "state").mkdir()
    policy, keys, key = directory / "policy.yaml", directory / "jwks.json", SigningKey.create()
    policy.write_text(POLICY)
    keys.write_text(key_set([key]))
    with gcs_server(directory / "gcs") as storage:
        fleet = Fleet(open_store(storage), flight_models)
        for name in ("ua.default", "private.default", "plain.default", "everyone.default"):
            fleet.put(name, 1, "first")
        served = {name: ([1], {"stable": 1}) for name in ("ua.default", "private.default", "plain.default")}
        generation = fleet.desire(served | {"everyone.default": ([1], {"stable": 1})})
        node = RunningNode(
            directory / "state",
            storage.endpoint or "",
            storage.bucket,
            ROOST_DEPLOYER__POLICY_FILE=str(policy),
            ROOST_GATEWAY__JWKS_FILE=str(keys),
            ROOST_GATEWAY__MAX_BODY_MB="1",
            ROOST_SERVING__TAP_FLUSH_SECONDS="0.3",
            ROOST_SERVING__TAP_HASH_KEY="a-key-of-the-test",
        )
        node.start()
        try:
            node.settle(generation)
            node.await_ready()
            yield Town(fleet=fleet, node=node, key=key, policy=policy)
        finally:
            node.stop()
            node.control.close()
            node.predictor.close()
