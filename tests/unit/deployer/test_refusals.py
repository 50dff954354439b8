"""What is wrong with an artifact is refused by name, and nothing of it is ever served."""

from __future__ import annotations

import numpy as np
import pytest

from roost.contracts.errors import StorageUnavailable
from roost.contracts.events import RolloutChanged
from roost.contracts.ids import staging_prefix
from roost.contracts.manifest import MANIFEST_NAME, SAVED_MODEL_NAME, SignatureSpec, TensorSpec
from roost.contracts.policy import Policy, Rules
from roost.contracts.rollout import Phase
from roost.contracts.verdict import Outcome
from roost.ports.ledger import Quarantine
from tests.unit.deployer.world import OPERATORS, SIGNATURE, World, saved_model

STAGED = staging_prefix("ua", "default", "r1")


def refused(world: World, rollout_id: str, *named: str) -> None:
    row = world.rollout(rollout_id)
    assert row.phase is Phase.REJECTED, row
    for text in named:
        assert text in row.reason
    assert not any(state.model("ua.default") for state in world.states())


def replace(world: World, path: str, content: bytes | None) -> None:
    found = world.memory.stat(STAGED + path)
    assert found is not None
    if content is None:
        world.memory.delete(STAGED + path, if_generation=found.generation)
    else:
        world.memory.write(STAGED + path, content, if_generation=found.generation)


def test_a_missing_file_is_named(world: World) -> None:
    manifest = world.stage()
    replace(world, "variables/variables.index", None)
    rollout_id = world.receive(manifest)
    world.run()
    refused(world, rollout_id, "variables/variables.index is missing")
    assert not list(world.memory.list("models/"))


def test_an_unknown_file_is_named(world: World) -> None:
    manifest = world.stage()
    world.memory.write(STAGED + "assets/extra.txt", b"?", if_generation=0)
    rollout_id = world.receive(manifest)
    world.run()
    refused(world, rollout_id, "assets/extra.txt is not declared in MANIFEST.json")


def test_a_truncated_manifest_is_named(world: World) -> None:
    manifest = world.stage()
    replace(world, MANIFEST_NAME, manifest.encoded()[:200])
    rollout_id = world.receive(manifest)
    world.run()
    refused(world, rollout_id, "MANIFEST.json is truncated")


def test_a_missing_manifest_is_named(world: World) -> None:
    manifest = world.stage()
    replace(world, MANIFEST_NAME, None)
    rollout_id = world.receive(manifest)
    world.run()
    refused(world, rollout_id, "MANIFEST.json is missing")


def test_a_manifest_that_breaks_its_contract_is_named_with_the_field(world: World) -> None:
    manifest = world.stage()
    replace(world, MANIFEST_NAME, b'{"schema_version": 2}')
    rollout_id = world.receive(manifest)
    world.run()
    refused(world, rollout_id, "MANIFEST.json is wrong at")


def test_a_digest_that_does_not_match_is_named(world: World) -> None:
    rollout_id = world.receive(world.stage(), digest="sha256:" + "0" * 64)
    world.run()
    refused(world, rollout_id, "MANIFEST.json has digest", "announced sha256:000")


def test_an_altered_file_is_named(world: World) -> None:
    manifest = world.stage()
    replace(world, "variables/variables.index", b"rX")
    rollout_id = world.receive(manifest)
    world.run()
    refused(world, rollout_id, "variables/variables.index has CRC32C")


def test_a_truncated_file_is_named(world: World) -> None:
    manifest = world.stage()
    replace(world, SAVED_MODEL_NAME, saved_model()[:20])
    rollout_id = world.receive(manifest)
    world.run()
    refused(world, rollout_id, "saved_model.pb has 20 bytes")


def test_an_artifact_of_somebody_else_is_refused(world: World) -> None:
    manifest = world.stage("dl", "r1")
    for one in list(world.memory.list("staging/dl/")):
        world.memory.copy(one.name, one.name.replace("/dl/", "/ua/"), if_generation=0)
    rollout_id = world.receive(manifest.model_copy(update={"customer": "ua"}), digest=manifest.digest)
    world.run()
    refused(world, rollout_id, "is of dl/default/r1")


def test_an_artifact_beyond_the_size_budget_is_refused() -> None:
    world = World(Policy(rules=Rules(max_artifact_mb=0.0001)))
    refused(world, world.deploy(), "the policy allows 0.0001 MB")


@pytest.mark.parametrize(
    "operator", ["ReadFile", "WriteFile", "PyFunc", "EagerPyFunc", "MadeUpOp", "TFRecordDatasetV2"]
)
def test_an_operator_that_is_not_allowed_is_named(world: World, operator: str) -> None:
    refused(world, world.deploy(graph=saved_model((*OPERATORS, operator))), f"operator {operator}", "the graph")


def test_an_operator_hidden_in_a_function_is_named_with_the_function(world: World) -> None:
    refused(world, world.deploy(graph=saved_model(in_function=("ReadFile",))), "ReadFile", "__inference_serve_1")


def test_a_text_graph_is_refused(world: World) -> None:
    refused(world, world.deploy(files={"saved_model.pbtxt": b"x"}), "saved_model.pbtxt is not allowed")


def test_bytes_that_are_no_saved_model_are_refused(world: World) -> None:
    refused(world, world.deploy(graph=b"\xff\xff\xff"), "not a SavedModel")


def test_a_saved_model_without_a_graph_is_refused(world: World) -> None:
    refused(world, world.deploy(graph=b"\x08\x01"), "holds no graph")


def test_a_signature_that_breaks_clients_of_the_live_version_is_refused_with_the_input(world: World) -> None:
    first = world.deploy()
    more = (*SIGNATURE.inputs, TensorSpec(name="y", dtype="DT_FLOAT", shape=(-1,)))
    changed = SignatureSpec(name="serving_default", inputs=more, outputs=SIGNATURE.outputs)
    world.clock.advance(1000)
    world.run()
    second = world.deploy(run="r2", signatures=(changed,))
    row = world.rollout(second)
    assert row.phase is Phase.REJECTED
    assert "Input 'y'" in row.reason
    assert all(state.serves("ua.default", world.rollout(first).version) for state in world.states())


def test_a_model_that_answers_nan_is_refused_by_the_sanity_check(world: World) -> None:
    world.canary.answer("ua.default", 1, lambda inputs: {"score": np.full((len(inputs["x"]), 1), np.nan, np.float32)})
    rollout_id = world.deploy()
    refused(world, rollout_id, "sanity: Output 'score' answers NaN.")
    verdict = world.rollout(rollout_id).verdict
    assert verdict is not None
    assert verdict.outcome is Outcome.FAIL
    assert [result.check for result in verdict.checks] == ["load", "signature", "golden", "sanity"]


def test_a_model_that_does_not_load_is_refused_with_the_servers_error(world: World) -> None:
    world.canary.fail_load("ua.default", 1, "Op type not registered")
    refused(world, world.deploy(), "load:", "Op type not registered")


def test_a_model_that_loads_too_slowly_is_refused(world: World) -> None:
    world.canary.faults("canary-1").slow_seconds = 90.0
    rollout_id = world.receive(world.stage())
    world.run(400)
    refused(world, rollout_id, "load: It took 90.0 s to load; the policy allows 60 s.")


def test_a_canary_node_that_is_down_is_inconclusive_and_asks_a_person(world: World) -> None:
    world.canary.faults("canary-1").down = True
    rollout_id = world.receive(world.stage())
    world.run(20)
    world.clock.advance(301)
    world.run()
    row = world.rollout(rollout_id)
    assert row.phase is Phase.AWAITING_APPROVAL
    assert "inconclusive" in row.reason


def test_a_quarantined_digest_is_refused_until_it_is_released(world: World) -> None:
    manifest = world.stage()
    entry = Quarantine(
        digest=manifest.digest, customer="ua", model="default", reason="bad night", actor="ann", at=world.clock.now()
    )
    world.ledger.quarantine(entry)
    refused(world, world.receive_and_run(manifest), "quarantined by ann: bad night")


def test_an_older_artifact_than_the_live_one_is_superseded_before_it_is_copied(world: World) -> None:
    early = world.clock.now()
    world.clock.advance(100)
    world.deploy(run="r2")
    late_comer = world.deploy(run="r1", trained_at=early)
    row = world.rollout(late_comer)
    assert row.phase is Phase.SUPERSEDED
    assert "was trained later" in row.reason
    assert row.version == 0


def test_an_outage_of_the_store_rejects_nothing_and_is_reported_once_past_the_deadline(world: World) -> None:
    manifest = world.stage()
    rollout_id = world.receive(manifest)
    world.memory.outage = "503 for ten minutes"
    for _ in range(40):
        world.worker.step()
        world.clock.advance(15)
    assert world.rollout(rollout_id).phase is Phase.RECEIVED
    late = [row.event for row in world.ledger.recent_events(limit=100) if row.event.data.model_dump().get("what")]
    assert [event.data.model_dump()["what"] for event in late] == ["rollout.late"]
    world.memory.outage = None
    world.clock.advance(31)
    world.run()
    assert world.rollout(rollout_id).phase is Phase.LIVE


def test_a_step_that_was_killed_after_its_copies_is_repeated_without_harm(world: World) -> None:
    manifest = world.stage()
    rollout_id = world.receive(manifest)
    version = world.ledger.allocate_version(rollout_id)
    world.memory.copy(f"{STAGED}saved_model.pb", f"models/ua/default/{version}/saved_model.pb", if_generation=0)
    world.memory.lost_responses.add(f"models/ua/default/{version}/{MANIFEST_NAME}")
    with pytest.raises(StorageUnavailable):
        world.controller.advance(rollout_id)
    world.run()
    row = world.rollout(rollout_id)
    assert (row.phase, row.version) == (Phase.LIVE, version)


@pytest.mark.parametrize("operator", ["Evil\0Op", "E" * 2_000_000])
def test_a_name_in_a_graph_that_no_database_or_bus_holds_is_a_refusal_that_both_hold(
    world: World, operator: str
) -> None:
    rollout_id = world.deploy(graph=saved_model((operator,)))
    row, line = world.rollout(rollout_id), world.ledger.history(rollout_id)[-1]
    assert row.phase is Phase.REJECTED
    assert row.reason == line.reason
    assert "uses the operator E" in row.reason
    assert "\0" not in row.reason
    assert len(row.reason) <= 2000
    told = world.ledger.recent_events(limit=1)[0].event.data
    assert isinstance(told, RolloutChanged)
    assert told.reason == row.reason
