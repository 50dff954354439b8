"""What may leave the node: by default no text that is not known beforehand, and never what the policy drops."""

from __future__ import annotations

import numpy as np
import pytest

from roost.contracts.manifest import InputSpec
from roost.contracts.policy import TapPolicy
from serving.node.taps.redaction import WITHHELD, Redactor

SPECS = (
    InputSpec(name="origin", dtype="DT_STRING", shape=(-1,), categories=("EWR", "JFK")),
    InputSpec(name="passenger", dtype="DT_STRING", shape=(-1,)),
    InputSpec(name="distance", dtype="DT_FLOAT", shape=(-1,)),
)
INPUTS = {
    "origin": np.array([b"EWR", b"jane.doe@example.com"], object),
    "passenger": np.array([b"Jane Doe", b"Jane Doe"], object),
    "distance": np.array([1400, 200], np.float32),
}
KEY = b"a-key"


def redacted(fields: dict[str, str], key: bytes | None = KEY) -> dict[str, list[object]]:
    policy = TapPolicy.model_validate({"rate": 1, "fields": fields})
    return {name: made.tolist() for name, made in Redactor(key).redacted(SPECS, INPUTS, policy).items()}


def test_by_default_numbers_stay_and_of_texts_only_known_categories() -> None:
    assert redacted({}) == {"origin": [b"EWR", WITHHELD], "distance": [1400.0, 200.0]}


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"distance": "drop"}, {"origin"}),
        ({"origin": "drop"}, {"distance"}),
        ({"passenger": "keep"}, {"origin", "passenger", "distance"}),
        ({"distance": "hash"}, {"origin"}),
        ({"unknown": "keep"}, {"origin", "distance"}),
    ],
)
def test_the_policy_says_what_becomes_of_a_field(fields: dict[str, str], left: set[str]) -> None:
    assert set(redacted(fields)) == left


def test_a_hash_tells_values_apart_and_not_what_they_are() -> None:
    hashed = redacted({"passenger": "hash", "origin": "hash"})

    assert hashed["passenger"][0] == hashed["passenger"][1] != hashed["origin"][0]
    assert len(str(hashed["passenger"][0])) < 30
    assert redacted({"passenger": "hash"}, b"another key")["passenger"] != hashed["passenger"]
    same = {**INPUTS, "origin": INPUTS["passenger"]}
    policy = TapPolicy.model_validate({"fields": {"passenger": "hash", "origin": "hash"}})
    both = Redactor(KEY).redacted(SPECS, same, policy)
    assert both["origin"].tolist() != both["passenger"].tolist()


@pytest.mark.parametrize("key", [None, b""])
def test_without_a_key_what_is_to_be_hashed_is_dropped(key: bytes | None) -> None:
    assert "passenger" not in redacted({"passenger": "hash"}, key)


def test_an_input_that_is_not_declared_never_leaves() -> None:
    inputs = {**INPUTS, "ssn": np.array([1.0], np.float32)}

    assert "ssn" not in Redactor(KEY).redacted(SPECS, inputs, TapPolicy.model_validate({"fields": {"ssn": "keep"}}))
