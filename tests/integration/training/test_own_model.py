"""A user's own data and own model: tables in the bucket, a trainer named in the settings."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from roost.contracts.manifest import MANIFEST_NAME, ArtifactManifest, GoldenCase
from roost.ports.object_store import ObjectStore
from tests.integration.training.conftest import Ended, Training

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

SCHEMA = b"""
label: minutes
time: at
task: regression
labels: []
features:
  usage: {vector: 3}
"""
WEIGHTS = np.array([2.0, -1.0, 0.5])


@pytest.fixture(scope="module")
def _data(store: ObjectStore) -> None:
    chance = np.random.default_rng(11)
    usage = chance.normal(size=(600, 3))
    table = pa.table(
        {
            "at": pa.array(np.datetime64("2026-01-01", "s") + np.arange(600) * np.timedelta64(3600, "s")),
            "minutes": usage @ WEIGHTS + 4 + chance.normal(0, 0.3, 600),
            "usage": usage.tolist(),
        }
    )
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink)
    store.write("data/acme/usage.parquet", sink.getvalue(), if_generation=0)
    store.write("data/acme/schema.yaml", SCHEMA, if_generation=0)


def trained(training: Training, trainer: str) -> Ended:
    return training(
        "run", "--customer", "acme", "--model", "usage", "--run-id", trainer,
        ROOST_TRAINING__DATASET="training.datasets.object_store:TableDataset",
        ROOST_TRAINING__TRAINER=f"tests.integration.training.own_models:{trainer}",
    )  # fmt: skip


@pytest.mark.usefixtures("_data")
@pytest.mark.parametrize("trainer", ["LeastSquares", "PlainKeras"])
def test_a_regression_over_a_vector_is_trained_evaluated_and_staged(
    training: Training, store: ObjectStore, trainer: str
) -> None:
    """PlainKeras guards a defect: variables that only Keras tracked were restored into copies that no server reads."""
    facts = trained(training, trainer).facts
    manifest = ArtifactManifest.model_validate_json(store.read(f"staging/acme/usage/{trainer}/{MANIFEST_NAME}")[0])
    assert facts["artifact_digest"] == manifest.digest
    assert manifest.run.metrics["rmse"] < 0.4
    assert manifest.run.metrics["baseline_rmse"] > 2
    signature = manifest.signature("serving_default")
    assert signature is not None
    assert [(spec.name, spec.dtype, spec.shape) for spec in signature.inputs] == [("usage", "DT_FLOAT", (-1, 3))]
    (declared,) = manifest.inputs
    assert (declared.name, declared.shape, declared.required, declared.bounds) == ("usage", (-1, 3), True, "warn")
    assert declared.minimum is not None
    assert declared.maximum is not None
    assert declared.minimum < declared.maximum
    golden = store.read(f"staging/acme/usage/{trainer}/roost/golden.jsonl")[0].decode().splitlines()
    cases = [GoldenCase.model_validate_json(line) for line in golden]
    inputs = np.array(cases[-1].inputs["usage"])
    assert inputs.shape == (16, 3)
    assert np.allclose(inputs @ WEIGHTS + 4, cases[-1].outputs["minutes"], atol=0.5)


@pytest.mark.usefixtures("_data")
@pytest.mark.parametrize(
    ("trainer", "said"),
    [
        ("AnswersNaN", "the model answers NaN or infinity for 120 of 120 evaluation rows"),
        ("OtherInputs", "serving_default takes something_else; the data set has usage"),
        ("NoSuchOutput", "the model has no output hours; it has minutes"),
    ],
)
def test_a_model_that_is_not_fit_is_refused_and_nothing_is_staged(
    training: Training, store: ObjectStore, trainer: str, said: str
) -> None:
    ended = trained(training, trainer)
    assert ended.code == 78
    assert said in ended.said.splitlines()[-1]
    assert list(store.list(f"staging/acme/usage/{trainer}")) == []
