"""Airlines, trained as a pod trains them, onto a real object store."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from roost.adapters import tf_messages as messages
from roost.adapters.tf_messages import array_from_tensor, prediction_log_pb2
from roost.contracts.manifest import (
    GOLDEN_NAME,
    HOLDOUT_NAME,
    MANIFEST_NAME,
    SAVED_MODEL_NAME,
    WARMUP_NAME,
    ArtifactManifest,
    GoldenCase,
    HoldoutRow,
)
from roost.ports.object_store import ObjectStore
from tests.integration.model_server.running import RunningServer
from tests.integration.training.conftest import Ended, Training
from training.datasets.flights import SCHEMA, FlightsDataset
from training.saved_model import ops

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

PREFIX = "staging/yv/default/{}/"
RULES = Path(__file__).parents[3] / "deployer" / "rollout"
#: What the deployer lets through: operators that compute, and those with which every SavedModel restores itself.
KNOWN_OPERATORS = frozenset(
    line.strip()
    for name in ("operators.txt", "storage_operators.txt")
    for line in (RULES / name).read_text().splitlines()
)


@pytest.fixture(scope="module")
def first(training: Training) -> Ended:
    return training("run", "--customer", "yv", "--run-id", "first")


@pytest.fixture(scope="module")
def manifest(first: Ended, store: ObjectStore) -> ArtifactManifest:
    assert first.code == 0, first.said
    return ArtifactManifest.model_validate_json(store.read(PREFIX.format("first") + MANIFEST_NAME)[0])


def lines(store: ObjectStore, name: str) -> list[str]:
    return store.read(PREFIX.format("first") + name)[0].decode().splitlines()


def test_a_run_prints_what_it_staged(first: Ended, manifest: ArtifactManifest) -> None:
    assert first.facts["artifact_digest"] == manifest.digest
    assert first.facts["artifact_uri"] == "gs://roost-test/staging/yv/default/first/"
    assert (first.facts["run_id"], first.facts["scope"]) == ("first", "own")


def test_the_artifact_is_exactly_what_its_manifest_lists(manifest: ArtifactManifest, store: ObjectStore) -> None:
    prefix = PREFIX.format("first")
    listed = {file.path: file for file in manifest.files}
    assert {found.name for found in store.list(prefix)} == {prefix + path for path in [*listed, MANIFEST_NAME]}
    assert {SAVED_MODEL_NAME, WARMUP_NAME, GOLDEN_NAME, HOLDOUT_NAME} < set(listed)
    for path, file in listed.items():
        content, stored = store.read(prefix + path)
        assert hashlib.sha256(content).hexdigest() == file.sha256
        assert (stored.size, stored.crc32c) == (file.size, file.crc32c)


def test_the_signatures_take_the_features_by_name_one_value_a_row(manifest: ArtifactManifest) -> None:
    default, classify = manifest.signature("serving_default"), manifest.signature("classify")
    assert default is not None
    assert classify is not None
    assert {(spec.name, spec.dtype, spec.shape) for spec in default.inputs} == {
        (feature.name, "DT_STRING" if feature.kind == "text" else "DT_FLOAT", (-1,)) for feature in SCHEMA.features
    }
    assert [(spec.name, spec.shape) for spec in default.outputs] == [("probability", (-1,))]
    assert classify.method == "tensorflow/serving/classify"
    (output,) = manifest.outputs
    assert (output.minimum, output.maximum, output.labels) == (0, 1, ("on_time", "late"))


def test_the_inputs_are_declared_with_what_training_saw(manifest: ArtifactManifest) -> None:
    declared = {spec.name: spec for spec in manifest.inputs}

    assert set(declared) == set(SCHEMA.names)
    assert declared["origin"].categories == ("LGA",)
    assert "CLT" in declared["dest"].categories
    assert (declared["hour"].minimum, declared["hour"].required) == (pytest.approx(6, abs=3), True)
    assert 20 < (declared["hour"].maximum or 0) < 26
    # Weather is missing in some hours: the model takes its mean, and so it may be left out.
    assert (declared["temp"].required, declared["temp"].nan, declared["temp"].bounds) == (False, True, "warn")
    assert all(spec.description for spec in manifest.inputs)


def test_whole_examples_are_classified_as_the_named_features_are_predicted(
    manifest: ArtifactManifest, store: ObjectStore, tmp_path: Path
) -> None:
    for file in manifest.files:
        (tmp_path / "yv/1" / file.path).parent.mkdir(parents=True, exist_ok=True)
        store.read_to(PREFIX.format("first") + file.path, tmp_path / "yv/1" / file.path)
    case = GoldenCase.model_validate_json(lines(store, GOLDEN_NAME)[1])
    request = messages.classification_pb2.ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = "yv", "classify"
    for row in range(4):
        features = request.input.example_list.examples.add().features.feature
        for feature in SCHEMA.features:
            value = case.inputs[feature.name][row]
            if feature.kind == "text":
                features[feature.name].bytes_list.value.append(str(value).encode())
            else:
                features[feature.name].float_list.value.append(float(str(value)))
    server = RunningServer(tmp_path, "--model_name=yv", f"--model_base_path={tmp_path / 'yv'}")
    try:
        found = server.wait_until_ready().predictions.Classify(request, timeout=30, wait_for_ready=True).result
    finally:
        server.stop()
    answers = np.array(case.outputs["probability"])
    assert [[one.label for one in row.classes] for row in found.classifications] == [["on_time", "late"]] * 4
    scores = [[one.score for one in row.classes] for row in found.classifications]
    assert np.allclose(scores, np.stack([1 - answers, answers], axis=1), atol=1e-6)


def test_the_model_beats_the_base_rate_on_later_flights(manifest: ArtifactManifest) -> None:
    metrics = manifest.run.metrics
    assert metrics["log_loss"] < metrics["baseline_log_loss"]
    assert metrics["auc"] > 0.6


def test_golden_requests_hold_several_batches_and_texts_never_seen(
    manifest: ArtifactManifest, store: ObjectStore
) -> None:
    cases = [GoldenCase.model_validate_json(line) for line in lines(store, GOLDEN_NAME)]
    assert [len(case.inputs["origin"]) for case in cases] == [1, 4, 16, 1]
    assert cases[-1].inputs["dest"] == ["never-seen-before"]
    for case in cases:
        assert set(case.inputs) == set(SCHEMA.names)
        answers = np.array(case.outputs["probability"])
        assert answers.shape == (len(case.inputs["origin"]),)
        assert ((answers > 0) & (answers < 1)).all()


def test_the_holdout_is_later_than_what_was_trained_on(manifest: ArtifactManifest, store: ObjectStore) -> None:
    rows = [HoldoutRow.model_validate_json(line) for line in lines(store, HOLDOUT_NAME)]
    flights = FlightsDataset().load("yv", None)
    assert manifest.run.rows_trained + manifest.run.metrics["rows_evaluated"] == len(flights)
    last_trained = flights.at[manifest.run.rows_trained - 1].item()
    assert all(row.at is not None and row.at.replace(tzinfo=None) > last_trained for row in rows)
    assert {row.label for row in rows} == {0.0, 1.0}
    assert len(rows) > 50


def test_the_warm_up_file_is_a_record_of_prediction_logs(manifest: ArtifactManifest, store: ObjectStore) -> None:
    content = store.read(PREFIX.format("first") + WARMUP_NAME)[0]
    logs = []
    while content:
        (size,) = struct.unpack("<Q", content[:8])
        logs.append(prediction_log_pb2.PredictionLog.FromString(content[12 : 12 + size]))
        content = content[16 + size :]
    requests = [log.predict_log.request for log in logs]
    assert [request.model_spec.signature_name for request in requests] == ["serving_default"] * 4
    assert set(requests[0].inputs) == set(SCHEMA.names)
    assert array_from_tensor(requests[2].inputs["hour"]).shape == (16,)


def test_the_graph_uses_only_operators_that_the_deployer_lets_through(
    manifest: ArtifactManifest, store: ObjectStore, tmp_path: Path
) -> None:
    store.read_to(PREFIX.format("first") + SAVED_MODEL_NAME, tmp_path / SAVED_MODEL_NAME)
    found = ops(tmp_path)
    assert "MatMul" in found
    assert found <= KNOWN_OPERATORS


def test_repeating_a_finished_run_changes_nothing(first: Ended, training: Training, store: ObjectStore) -> None:
    before = [(found.name, found.generation) for found in store.list("staging/yv/")]
    again = training("run", "--customer", "yv", "--run-id", "first")
    assert again.facts == first.facts
    assert "staged by an earlier attempt" in again.said
    assert [(found.name, found.generation) for found in store.list("staging/yv/")] == before


def test_the_same_rows_and_seed_give_the_same_bytes_even_beside_the_remains_of_a_dead_attempt(
    manifest: ArtifactManifest, training: Training, store: ObjectStore
) -> None:
    store.write("staging/yv/default/second/variables/variables.index", b"from the dead", if_generation=0)
    facts = training("run", "--customer", "yv", "--run-id", "second").facts
    assert facts["run_id"] == "second~2"
    second = ArtifactManifest.model_validate_json(store.read(PREFIX.format("second~2") + MANIFEST_NAME)[0])
    assert second.files == manifest.files
    assert second.run.metrics == manifest.run.metrics


def test_the_tiny_airline_gets_a_cohort_model_that_says_so(training: Training, store: ObjectStore) -> None:
    """SkyWest has 29 flights that arrived; the run of a short window pools those of an airline that is alike."""
    facts = training("run", "--customer", "oo", "--run-id", "r", "--window", "2013-08-01:2013-10-01").facts
    manifest = ArtifactManifest.model_validate_json(store.read("staging/oo/default/r/MANIFEST.json")[0])
    assert facts["scope"] == manifest.run.scope == "cohort"
    assert manifest.run.cohort == ("oo", "9e")
    assert manifest.run.rows_trained > 500
    assert manifest.run.data_window == ("2013-08-01T00:00:00+00:00", "2013-10-01T00:00:00+00:00")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--customer", "zz", "--run-id", "r"), "customer 'zz' has no flights; the airlines are"),
        (("--customer", "../etc", "--run-id", "r"), "customer id '../etc' is not valid"),
        (("--customer", "ua", "--run-id", "r", "--window", "soon"), "data window 'soon' is not valid"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line_and_for_good(
    training: Training, arguments: tuple[str, ...], said: str
) -> None:
    ended = training("run", *arguments)
    assert ended.code == 78
    assert said in ended.said.splitlines()[-1]
    assert ended.printed == ""


def test_a_store_that_is_away_asks_for_another_try(training: Training, unused_port: int) -> None:
    endpoint = f"http://127.0.0.1:{unused_port}"
    ended = training(
        "run", "--customer", "yv", "--run-id", "r",
        ROOST_STORAGE__ENDPOINT=endpoint, ROOST_STORAGE__DEADLINE_SECONDS="1",
    )  # fmt: skip
    assert ended.code == 75
    assert "the store does not answer" in ended.said.splitlines()[-1]


def test_publishing_what_was_not_staged_is_refused(training: Training) -> None:
    ended = training("publish", "--customer", "yv", "--run-id", "never")
    assert ended.code == 78
    assert "has staged nothing complete" in ended.said.splitlines()[-1]


def test_the_line_of_facts_is_json_alone(first: Ended) -> None:
    assert json.loads(first.printed)["run_id"] == "first"
    assert first.printed.count("\n") == 1
