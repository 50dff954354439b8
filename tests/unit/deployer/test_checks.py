"""Checks: one contract that each registered one obeys, and what each one finds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from deployer.checks import registry
from deployer.checks.registry import OFF_BY_DEFAULT, REGISTRY
from deployer.checks.sanity import SanityCheck
from deployer.checks.subject import CanaryCheck, CanarySubject, Copies
from deployer.checks.tensors import rows_of
from roost.contracts.acks import NodeVersion, VersionState
from roost.contracts.errors import ModelServerUnavailable, NodeUnavailable, Permanent
from roost.contracts.manifest import ArtifactManifest, GoldenCase, HoldoutRow, OutputSpec, SignatureSpec, TensorSpec
from roost.contracts.policy import CheckPolicy, GoldenBounds, LoadBounds, SanityBounds
from roost.contracts.traffic import Answered
from roost.contracts.verdict import CheckResult, Outcome
from roost.ports.serving import Tensors
from tests.unit.deployer.test_domain_rules import manifest as bare_manifest

INPUTS = (TensorSpec(name="x", dtype="DT_FLOAT", shape=(-1,)), TensorSpec(name="who", dtype="DT_STRING", shape=(-1, 1)))
OUTPUTS = (
    TensorSpec(name="score", dtype="DT_FLOAT", shape=(-1, 1)),
    TensorSpec(name="label", dtype="DT_STRING", shape=(-1, 1)),
)
DECLARED = SignatureSpec(name="serving_default", inputs=INPUTS, outputs=OUTPUTS)
COUNTED = Answered(ended={"OK": 1000}, took=((0.01, 1000),))
PROVEN = NodeVersion(version=3, state=VersionState.PROVEN, seconds=0.5, memory_bytes=2**20)


def answer(inputs: Tensors, signature: str = "serving_default") -> dict[str, np.ndarray]:
    """A sane model: half the input, and a label of who asked."""
    x = np.asarray(inputs["x"], dtype=np.float32)
    who = np.asarray(inputs["who"], dtype=np.object_).reshape(len(x), 1)
    return {"score": (x / 2).reshape(len(x), 1), "label": who}


def case(x: float, **change: Any) -> GoldenCase:
    outputs: dict[str, list[object]] = {"score": [[x / 2]], "label": [["ann"]]}
    return GoldenCase(inputs={"x": [x], "who": [["ann"]]}, outputs=change.get("outputs", outputs))


def made(**change: Any) -> ArtifactManifest:
    outputs = change.get("outputs", (OutputSpec(name="score", minimum=0.0, maximum=1.0),))
    return bare_manifest(change.get("signature", DECLARED)).model_copy(update={"outputs": outputs})


def subject(**change: Any) -> CanarySubject:
    known: dict[str, Any] = {
        "manifest": made(),
        "version": 3,
        "loaded": PROVEN,
        "golden": [case(0.25), case(0.5)],
        "holdout": [HoldoutRow(inputs={"x": index / 30, "who": "bob"}, label=0.0) for index in range(30)],
        "ask": answer,
        "bounds": CheckPolicy(),
        "copies": lambda _: Copies(candidate=COUNTED, live=COUNTED),
    }
    return CanarySubject(**{**known, **change})


def answering(**outputs: Callable[[Tensors], Any]) -> Callable[[Tensors, str], Mapping[str, Any]]:
    return lambda inputs, _: {**answer(inputs), **{name: value(inputs) for name, value in outputs.items()}}


def full(value: float) -> Callable[[Tensors], Any]:
    return lambda inputs: np.full((len(inputs["x"]), 1), value, dtype=np.float32)


def raising(error: Exception) -> Callable[..., Any]:
    def ask(*_: object) -> Any:
        raise error

    return ask


def run(name: str, **change: Any) -> CheckResult:
    check = next(check for check in REGISTRY if check.name == name)
    return check.run(subject(**change))


@pytest.mark.parametrize("check", REGISTRY, ids=lambda check: check.name)
class TestContract:
    """What holds for every registered check, those to come included."""

    def test_a_sane_model_passes(self, check: CanaryCheck) -> None:
        assert check.run(subject()).outcome is Outcome.PASS

    def test_it_is_deterministic(self, check: CanaryCheck) -> None:
        assert check.run(subject()) == check.run(subject())

    def test_it_says_one_sentence_under_its_own_name(self, check: CanaryCheck) -> None:
        for found in (check.run(subject()), check.run(subject(golden=[], holdout=[], loaded=None))):
            assert found.check == check.name
            assert found.sentence.endswith(".")
            assert "\n" not in found.sentence

    def test_what_cannot_be_measured_is_inconclusive(self, check: CanaryCheck) -> None:
        gone = raising(ModelServerUnavailable("nobody answers"))
        away = raising(NodeUnavailable("nobody answers"))
        for lacking in ({"golden": [], "holdout": [], "copies": None}, {"ask": gone, "copies": away}):
            found = check.run(subject(loaded=None, **lacking))
            assert found.outcome is Outcome.INCONCLUSIVE, found

    def test_it_is_covered_by_the_default_policy_or_known_to_be_off(self, check: CanaryCheck) -> None:
        assert (check.name in CheckPolicy().enabled) is not (check.name in OFF_BY_DEFAULT)


def verdict(**change: Any) -> Any:
    return registry.run(subject(**change), monotonic=lambda: 1.0)


def test_all_checks_run_in_the_registrys_order_and_pass_together() -> None:
    found = verdict()
    assert found.outcome is Outcome.PASS
    assert [result.check for result in found.checks] == [
        check.name for check in REGISTRY if check.name not in OFF_BY_DEFAULT
    ]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_are_refused_by_the_name_of_sanity(bad: float) -> None:
    found = verdict(ask=answering(score=full(bad)))
    assert found.outcome is Outcome.FAIL
    assert found.sentence.startswith("sanity: Output 'score' answers")


def test_nan_that_was_recorded_as_nan_is_refused_all_the_same() -> None:
    recorded = case(0.5, outputs={"score": [[None]], "label": [["ann"]]})
    found = verdict(golden=[recorded], ask=answering(score=full(np.nan)))
    assert found.sentence.startswith("sanity:")


def test_the_first_failure_ends_the_canary() -> None:
    failed = NodeVersion(version=3, state=VersionState.FAILED, error="no such op")
    found = verdict(loaded=failed)
    assert [result.check for result in found.checks] == ["load"]
    assert found.sentence == "load: The model server could not load it: no such op"


def test_a_check_that_nobody_knows_is_inconclusive() -> None:
    found = verdict(bounds=CheckPolicy(enabled=("load", "saniti")))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "'saniti' that does not exist" in found.sentence


def test_a_bug_in_a_check_holds_that_model_for_a_person_and_nobody_elses() -> None:
    # The first model with text features raised AttributeError in a check, and the deployer restarted in a loop.
    found = verdict(ask=raising(AttributeError("'bytes' object has no attribute 'tolist'")))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "The check itself failed, which is a bug in Roost: AttributeError" in found.sentence


def test_a_verdict_is_always_one_that_a_database_holds() -> None:
    answers = answering(score=lambda inputs: np.full((len(inputs["x"]), 1), 1e308))
    recorded = case(0.5, outputs={"score": [[-1e308]], "label": [["ann"]]})
    only = CheckPolicy(enabled=("golden",))
    found = verdict(ask=answers, golden=[recorded], bounds=only)
    assert (found.outcome, found.checks[0].estimate) == (Outcome.FAIL, None)
    assert "inf" in found.sentence
    json.dumps(found.model_dump(mode="json"), allow_nan=False)
    found = verdict(ask=raising(Permanent("no\0 " + "x" * 9000)))
    assert "\0" not in found.sentence
    assert len(found.sentence) < 2100


def test_rows_of_text_are_told_apart() -> None:
    first = np.array([b"JFK", b"EWR", b"JFK"], dtype=object)
    assert len(set(rows_of({"origin": first, "hour": np.array([1.0, 1.0, 1.0], dtype=np.float32)}))) == 2


def test_without_any_check_nothing_is_known() -> None:
    assert verdict(bounds=CheckPolicy(enabled=())).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("loaded", "outcome", "says"),
    [
        (None, Outcome.INCONCLUSIVE, "did not answer in time"),
        (NodeVersion(version=3, state=VersionState.LOADING), Outcome.INCONCLUSIVE, "did not answer in time"),
        (NodeVersion(version=3, state=VersionState.FAILED), Outcome.FAIL, "no reason given"),
        (NodeVersion(version=3, state=VersionState.PROVEN), Outcome.INCONCLUSIVE, "does not say how long"),
        (NodeVersion(version=3, state=VersionState.PROVEN, seconds=9), Outcome.FAIL, "allows 5 s"),
        (PROVEN.model_copy(update={"memory_bytes": 2**30}), Outcome.FAIL, "It took 1024 MB; the policy allows 100 MB"),
        (PROVEN.model_copy(update={"memory_bytes": None}), Outcome.PASS, "It loaded in 0.50 s."),
        (PROVEN, Outcome.PASS, "with 1 MB."),
    ],
)
def test_load_judges_seconds_and_memory(loaded: NodeVersion | None, outcome: Outcome, says: str) -> None:
    found = run("load", loaded=loaded, bounds=CheckPolicy(load=LoadBounds(seconds=5, memory_mb=100)))
    assert found.outcome is outcome
    assert says in found.sentence


def test_signature_names_what_breaks_a_client_of_the_live_version() -> None:
    live = made(signature=SignatureSpec(name="serving_default", inputs=INPUTS[:1], outputs=OUTPUTS))
    found = run("signature", live=live)
    assert found.outcome is Outcome.FAIL
    assert "Input 'who'" in found.sentence
    assert "live version's" in run("signature", live=made()).sentence


@pytest.mark.parametrize(
    ("change", "outcome", "says"),
    [
        ({"golden": []}, Outcome.INCONCLUSIVE, "No request is recorded"),
        ({"golden": [GoldenCase(signature="s", inputs={}, outputs={})]}, Outcome.FAIL, "names signature 's'"),
        ({"golden": [GoldenCase(inputs={}, outputs={})]}, Outcome.INCONCLUSIVE, "input 'x' is missing"),
        ({"ask": raising(Permanent("no"))}, Outcome.FAIL, "refuses a request of its own declared signature: no"),
        ({"ask": raising(ModelServerUnavailable("away"))}, Outcome.INCONCLUSIVE, "did not answer: away"),
        ({"ask": lambda inputs, _: {}}, Outcome.FAIL, "Output 'score' is declared, and the answer has none"),
        (
            {"ask": answering(score=lambda inputs: np.zeros((len(inputs["x"]), 1)))},
            Outcome.FAIL,
            "declared DT_FLOAT, and the answer is float64",
        ),
        (
            {"ask": answering(score=lambda inputs: np.zeros((len(inputs["x"]), 2), np.float32))},
            Outcome.FAIL,
            "declared [-1, 1], and the answer is [1, 2]",
        ),
    ],
)
def test_signature_asks_the_running_model(change: dict[str, Any], outcome: Outcome, says: str) -> None:
    found = run("signature", **change)
    assert found.outcome is outcome
    assert says in found.sentence


def test_signature_of_an_output_type_that_predictions_do_not_have_fails() -> None:
    odd = SignatureSpec(name="serving_default", inputs=INPUTS, outputs=(TensorSpec(name="score", dtype="DT_RESOURCE"),))
    assert "type DT_RESOURCE" in run("signature", manifest=made(signature=odd)).sentence


def test_golden_passes_within_its_tolerance_and_fails_beyond() -> None:
    close = answering(score=lambda inputs: answer(inputs)["score"] + np.float32(0.001))
    assert run("golden", ask=close, bounds=CheckPolicy(golden=GoldenBounds(tolerance=0.01))).outcome is Outcome.PASS
    far = run("golden", ask=close, bounds=CheckPolicy(golden=GoldenBounds(tolerance=1e-5)))
    assert far.outcome is Outcome.FAIL
    assert far.estimate == pytest.approx(0.001, rel=0.01)


@pytest.mark.parametrize(
    ("change", "outcome", "says"),
    [
        ({"golden": []}, Outcome.INCONCLUSIVE, "0 requests are recorded; the policy wants 1"),
        ({"golden": [GoldenCase(signature="s", inputs={}, outputs={})]}, Outcome.INCONCLUSIVE, "'s' is not declared"),
        ({"golden": [case(0.5, outputs={"gone": [1]})]}, Outcome.FAIL, "'gone' was recorded, and the answer has none"),
        ({"golden": [case(0.5, outputs={"label": [["bob"]]})]}, Outcome.FAIL, "answers other strings"),
        ({"golden": [case(0.5, outputs={"score": [0.25]})]}, Outcome.FAIL, "has shape [1, 1], and [1] was recorded"),
        ({"golden": [case(0.5, outputs={"score": [["no"]]})]}, Outcome.INCONCLUSIVE, "are not numbers"),
        ({"golden": [case(0.5, outputs={"label": [[3]]})]}, Outcome.INCONCLUSIVE, "a string is wanted, not 3"),
        ({"golden": [case(0.5, outputs={"score": [[None]]})]}, Outcome.FAIL, "a number where NaN or Inf was recorded"),
        ({"ask": answering(score=full(np.nan))}, Outcome.INCONCLUSIVE, "the sanity check decides"),
        ({"ask": raising(ModelServerUnavailable("away"))}, Outcome.INCONCLUSIVE, "away"),
        ({"ask": raising(Permanent("refused"))}, Outcome.FAIL, "refused"),
    ],
)
def test_golden_compares_what_can_be_compared(change: dict[str, Any], outcome: Outcome, says: str) -> None:
    found = run("golden", **change)
    assert found.outcome is outcome
    assert says in found.sentence


def test_golden_reads_bytes_as_json_carries_them() -> None:
    coded = {"x": [0.5], "who": [[{"b64": "YW5u"}]]}
    good = GoldenCase(inputs=coded, outputs={"label": [[{"b64": "YW5u"}]]})
    assert run("golden", golden=[good]).outcome is Outcome.PASS
    bad = GoldenCase(inputs={"x": [0.5], "who": [[{"b64": "?"}]]}, outputs={})
    assert "not base64" in run("golden", golden=[bad]).sentence


@pytest.mark.parametrize(
    ("change", "outcome", "says"),
    [
        ({"ask": answering(score=full(1.5))}, Outcome.FAIL, "answers 1.5 to 1.5; 0.0 to 1.0 is declared"),
        ({"ask": answering(score=full(-0.5))}, Outcome.FAIL, "answers -0.5"),
        ({"ask": answering(score=full(0.5))}, Outcome.FAIL, "Output 'score' is the same for 30 different rows"),
        ({"ask": raising(Permanent("bad shape"))}, Outcome.FAIL, "refuses a recorded request: bad shape"),
        ({"ask": raising(ModelServerUnavailable("away"))}, Outcome.INCONCLUSIVE, "away"),
        ({"holdout": []}, Outcome.INCONCLUSIVE, "Only 2 different rows could be asked; 16 are needed"),
        ({"holdout": [HoldoutRow(inputs={"x": 1}, label=0)]}, Outcome.INCONCLUSIVE, "'who' is missing from the hold"),
        ({"golden": [GoldenCase(signature="s", inputs={}, outputs={})]}, Outcome.INCONCLUSIVE, "'s' is not declared"),
        ({"manifest": made(outputs=(OutputSpec(name="score"),))}, Outcome.PASS, "finite, in range and vary"),
        ({"ask": answering(count=lambda inputs: np.ones(len(inputs["x"]), np.int64))}, Outcome.PASS, "vary"),
    ],
)
def test_sanity_judges_answers_alone(change: dict[str, Any], outcome: Outcome, says: str) -> None:
    bounds = CheckPolicy(sanity=SanityBounds(minimum_rows=16))
    found = run("sanity", bounds=bounds, **{"golden": [case(0.25), case(0.5)], **change})
    assert says.replace("30 different", f"{found.n} different") in found.sentence
    assert found.outcome is outcome


def test_sanity_asks_no_holdout_rows_where_there_is_no_default_signature() -> None:
    other = SignatureSpec(name="other", inputs=INPUTS, outputs=OUTPUTS)
    recorded = case(0.5).model_copy(update={"signature": "other"})
    found = run("sanity", manifest=made(signature=other), golden=[recorded])
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.n == 1


@pytest.mark.parametrize(
    ("spec", "value", "says"),
    [
        (TensorSpec(name="x", dtype="DT_FLOAT", shape=(-1,)), "text", "cannot be read as DT_FLOAT"),
        (TensorSpec(name="x", dtype="DT_VARIANT"), 1, "type DT_VARIANT is not one"),
        (TensorSpec(name="x", dtype="DT_FLOAT", shape=(-1, 3)), 1.0, "does not have shape [-1, 3]"),
    ],
)
def test_a_row_that_does_not_fit_its_signature_cannot_be_asked(spec: TensorSpec, value: object, says: str) -> None:
    one = SignatureSpec(name="serving_default", inputs=(spec,), outputs=OUTPUTS)
    rows = [HoldoutRow(inputs={"x": value}, label=0.0)]
    found = run("sanity", manifest=made(signature=one), golden=[], holdout=rows)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert says in found.sentence


def test_a_column_is_given_the_shape_that_the_signature_declares() -> None:
    asked: list[tuple[int, ...]] = []

    def ask(inputs: Tensors, signature: str) -> Tensors:
        asked.append(np.asarray(inputs["who"]).shape)
        return answer(inputs)

    run("sanity", golden=[], ask=ask)
    assert asked == [(30, 1)]


def recorded(score: float, **change: Any) -> Tensors:
    inputs = {"x": np.array([score], np.float32), "who": np.array([[b"ann"]], object), **change}
    return {name: values for name, values in inputs.items() if values is not None}


def test_sanity_asks_what_the_customer_really_asked() -> None:
    def nan_above_half(inputs: Tensors) -> Any:
        return np.where(np.asarray(inputs["x"]) > 0.99, np.nan, 0.5).astype(np.float32)[:, None]

    sane, insane = subject(), subject(recorded=[recorded(0.999)], ask=answering(score=nan_above_half))

    assert SanityCheck().run(insane).sentence == "Output 'score' answers NaN."
    assert SanityCheck().run(subject(recorded=[recorded(0.7)])).n == (SanityCheck().run(sane).n or 0) + 1
    assert SanityCheck().run(subject(recorded=[recorded(0.7)])).inputs_digest != SanityCheck().run(sane).inputs_digest


@pytest.mark.parametrize(
    "lacking", [{"who": None}, {"x": np.array([1], np.int64)}, {"more": np.array([1.0], np.float32)}]
)
def test_a_recorded_request_that_does_not_fit_the_candidate_is_not_asked(lacking: dict[str, Any]) -> None:
    check = SanityCheck()

    assert check.run(subject(recorded=[recorded(0.7, **lacking)])) == check.run(subject())
