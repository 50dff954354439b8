"""Compatibility, approval and supersession, rule by rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from deployer.domain import approval, compatibility, supersede
from roost.contracts.manifest import ArtifactManifest, ManifestFile, RunFacts, SignatureSpec, TensorSpec
from roost.contracts.policy import Approval
from roost.contracts.rollout import Phase, Rollout
from roost.contracts.verdict import CheckResult, Outcome, Verdict
from tests.unit.deployer.test_transitions import rollout

NOW = datetime(2026, 1, 1, tzinfo=UTC)
X = TensorSpec(name="x", dtype="DT_FLOAT", shape=(-1, 3))
SCORE = TensorSpec(name="score", dtype="DT_FLOAT", shape=(-1, 1))


def manifest(*signatures: SignatureSpec) -> ArtifactManifest:
    file = ManifestFile(path="saved_model.pb", size=1, sha256="0" * 64, crc32c="AAAAAA==")
    facts = RunFacts(run_id="r", trained_at=NOW, code_version="1", seed=1, data_window=("a", "b"), rows_trained=1)
    return ArtifactManifest(customer="ua", model="default", files=(file,), signatures=signatures, run=facts)


def signature(
    inputs: tuple[TensorSpec, ...] = (X,), outputs: tuple[TensorSpec, ...] = (SCORE,), **change: str
) -> SignatureSpec:
    return SignatureSpec(**{"name": "serving_default", **change}, inputs=inputs, outputs=outputs)


def tensor(spec: TensorSpec, **change: object) -> TensorSpec:
    return spec.model_copy(update=change)


@pytest.mark.parametrize(
    ("offered", "says"),
    [
        (signature(name="other"), "Signature 'serving_default' of the live version is gone."),
        (signature(method="tensorflow/serving/classify"), "The method of signature 'serving_default'"),
        (signature(inputs=(X, tensor(X, name="y"))), "Input 'y' of signature 'serving_default' would be required"),
        (signature(inputs=(tensor(X, name="y"),)), "Input 'y'"),
        (signature(inputs=()), "Input 'x' of signature 'serving_default' would be refused"),
        (signature(inputs=(tensor(X, dtype="DT_INT64"),)), "was DT_FLOAT, and would be DT_INT64"),
        (signature(inputs=(tensor(X, shape=(-1, 4)),)), "had shape [-1, 3], and would have [-1, 4]"),
        (signature(inputs=(tensor(X, shape=(8, 3)),)), "would have [8, 3]"),
        (signature(inputs=(tensor(X, shape=(-1,)),)), "would have [-1]"),
        (signature(outputs=()), "Output 'score' of signature 'serving_default' would vanish."),
        (signature(outputs=(tensor(SCORE, dtype="DT_DOUBLE"),)), "was DT_FLOAT, and would be DT_DOUBLE"),
        (signature(outputs=(tensor(SCORE, shape=(-1, 2)),)), "had shape [-1, 1], and would have [-1, 2]"),
        (signature(outputs=(tensor(SCORE, shape=None),)), "would have any shape"),
    ],
)
def test_what_would_break_a_client_is_named(offered: SignatureSpec, says: str) -> None:
    found = compatibility.breaks(manifest(signature()), manifest(offered))
    assert found is not None
    assert says in found


@pytest.mark.parametrize(
    "offered",
    [
        signature(),
        signature(inputs=(tensor(X, shape=None),)),
        signature(inputs=(tensor(X, shape=(-1, -1)),)),
        signature(outputs=(SCORE, tensor(SCORE, name="more"))),
    ],
)
def test_what_only_allows_more_breaks_nobody(offered: SignatureSpec) -> None:
    assert compatibility.breaks(manifest(signature()), manifest(offered, signature(name="extra"))) is None


def verdict(outcome: Outcome) -> Verdict:
    return Verdict.of((CheckResult(check="load", outcome=outcome, sentence="It says so."),))


@pytest.mark.parametrize("policy", list(Approval))
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("frozen", [None, "a reason"])
def test_a_failed_canary_is_rejected_and_an_inconclusive_one_asks_under_any_policy(
    policy: Approval, first: bool, frozen: str | None
) -> None:
    failed = approval.after_canary(verdict(Outcome.FAIL), approval=policy, first_model=first, frozen=frozen)
    assert failed.phase is Phase.REJECTED
    unknown = approval.after_canary(verdict(Outcome.INCONCLUSIVE), approval=policy, first_model=first, frozen=frozen)
    assert (unknown.phase, unknown.approved_by) == (Phase.AWAITING_APPROVAL, None)


@pytest.mark.parametrize(
    ("policy", "first", "frozen", "phase", "by"),
    [
        (Approval.NEVER, True, None, Phase.PROMOTING, "policy"),
        (Approval.INCONCLUSIVE, True, None, Phase.PROMOTING, "policy"),
        (Approval.FIRST_MODEL, True, None, Phase.AWAITING_APPROVAL, None),
        (Approval.FIRST_MODEL, False, None, Phase.PROMOTING, "policy"),
        (Approval.ALWAYS, False, None, Phase.AWAITING_APPROVAL, None),
        (Approval.NEVER, False, "night", Phase.AWAITING_APPROVAL, "policy"),
        (Approval.ALWAYS, False, "night", Phase.AWAITING_APPROVAL, None),
    ],
)
def test_a_passed_canary_goes_on_as_policy_and_freeze_allow(
    policy: Approval, first: bool, frozen: str | None, phase: Phase, by: str | None
) -> None:
    decision = approval.after_canary(verdict(Outcome.PASS), approval=policy, first_model=first, frozen=frozen)
    assert (decision.phase, decision.approved_by) == (phase, by)


def row(identity: str, phase: Phase, hours: int) -> Rollout:
    changed = {"id": identity, "phase": phase, "trained_at": NOW + timedelta(hours=hours)}
    return rollout(Phase.RECEIVED).model_copy(update=changed)


def test_only_what_was_trained_before_the_live_one_is_superseded_by_it() -> None:
    live = row("live", Phase.LIVE, 5)
    assert supersede.by_live(row("a", Phase.RECEIVED, 4), live) is not None
    assert supersede.by_live(row("a", Phase.RECEIVED, 5), live) is None
    assert supersede.by_live(live, live) is None
    assert supersede.by_live(row("a", Phase.RECEIVED, 4), None) is None


def test_only_a_waiting_rollout_is_superseded_by_a_newer_vetted_one() -> None:
    newer = row("b", Phase.VETTED, 2)
    assert supersede.by_waiting(row("a", Phase.VETTED, 1), [newer]) is not None
    assert supersede.by_waiting(row("a", Phase.AWAITING_APPROVAL, 1), [newer]) is not None
    assert supersede.by_waiting(row("a", Phase.CANARY, 1), [newer]) is None
    assert supersede.by_waiting(row("c", Phase.VETTED, 3), [newer]) is None
    assert supersede.by_waiting(row("a", Phase.VETTED, 1), [row("b", Phase.STORED, 2)]) is None
    assert supersede.by_waiting(newer, [newer]) is None


def test_a_bake_ends_for_a_newer_vetted_rollout_and_for_no_other() -> None:
    live = row("live", Phase.LIVE, 1)
    assert supersede.ends_bake(live, [row("b", Phase.VETTED, 2)]) is not None
    assert supersede.ends_bake(live, [row("b", Phase.VETTED, 0), row("c", Phase.STORED, 2)]) is None


def test_the_holder_of_a_name_is_another_rollout_between_canary_and_live() -> None:
    me = row("me", Phase.VETTED, 1)
    other = row("other", Phase.HALTED, 0)
    assert supersede.holder(me, [me, row("x", Phase.STORED, 0), other]) == other
    assert supersede.holder(me, [row("x", Phase.VETTED, 0)]) is None
