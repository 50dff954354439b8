"""Documents with thousands of models: read and written as always, but only what changed is made anew."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from roost.contracts.acks import NodeModel, NodeState, NodeVersion, VersionState
from roost.contracts.desired import DesiredModel, DesiredState, DesiredVersion, LoadingOrder
from roost.contracts.incremental import Encoder, Parser


def _model(name: str, *versions: int, split: float = 0) -> DesiredModel:
    listed = tuple(
        DesiredVersion(version=version, digest="sha256:" + f"{version:064x}", rollout_id=f"r-{version}")
        for version in versions
    )
    labels = {"stable": versions[-1]} | ({"previous": versions[0]} if len(versions) > 1 else {})
    return DesiredModel(name=name, versions=listed, labels=labels, split={"previous": split} if split else {})


def _state(generation: int, *models: DesiredModel, loading: LoadingOrder = LoadingOrder.LOAD_FIRST) -> DesiredState:
    return DesiredState(pool="default", generation=generation, models=models, reason="ä test", loading=loading)


STATES = (
    _state(0),
    _state(1, _model("aa.default", 1)),
    _state(2, _model("aa.default", 1), _model("bb.default", 1, 2, split=12.5)),
    _state(3, _model("bb.default", 2), loading=LoadingOrder.UNLOAD_FIRST),
    _state(4),
)


def test_one_after_the_other_they_are_encoded_as_each_by_itself() -> None:
    """Whatever came before."""
    encoder = Encoder()
    assert [encoder.encoded(state) for state in STATES] == [state.encoded() for state in STATES]


def test_one_after_the_other_they_are_parsed_as_each_by_itself() -> None:
    """Whatever came before."""
    parser = Parser(DesiredState)
    assert [parser.received(state.encoded()) for state in STATES] == list(STATES)


def test_what_stays_is_the_same_object_and_what_changed_is_not() -> None:
    """So that a comparison of thousands costs next to nothing."""
    parser = Parser(DesiredState)
    kept, before = _model("aa.default", 1), _model("bb.default", 1)
    one = parser.received(_state(1, kept, before).encoded())
    two = parser.received(_state(2, kept, _model("bb.default", 1, 2)).encoded())
    assert two.models[0] is one.models[0]
    assert two.models[1] == _model("bb.default", 1, 2)
    # A name that left is forgotten, and read anew when it comes back.
    parser.received(_state(3, kept).encoded())
    assert parser.received(_state(4, kept, before).encoded()).models[1] is not one.models[1]


def test_a_node_says_of_one_model_that_it_flipped() -> None:
    """The other's entry is kept."""
    parser, at = Parser(NodeState), datetime(2026, 11, 22, tzinfo=UTC)

    def answer(flipped_at: datetime | None) -> bytes:
        version = NodeVersion(version=1, state=VersionState.PROVEN, seconds=0.1)
        models = (
            NodeModel(name="aa.default", versions=(version,), labels={"stable": 1}),
            NodeModel(name="bb.default", versions=(version,), labels={"stable": 1}, flipped_at=flipped_at),
        )
        state = NodeState(
            node="node-1",
            pool="default",
            generation=1,
            settled=True,
            converged=True,
            ready=True,
            models=models,
            rest_address="127.0.0.1:1",
            grpc_address="127.0.0.1:2",
        )
        return state.model_dump_json().encode()

    one, two = parser.received(answer(None)), parser.received(answer(at))
    assert two == NodeState.received(answer(at))
    assert one.models[0] is two.models[0]
    assert two.models[1].flipped_at == at


def test_fields_of_a_newer_release_are_passed_over_at_every_depth() -> None:
    """As by `received`."""
    document = json.loads(STATES[2].encoded())
    document["new"] = document["models"][0]["new"] = document["models"][0]["versions"][0]["new"] = {"more": 1}
    parser = Parser(DesiredState)
    assert parser.received(json.dumps(document).encode()) == STATES[2]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON",
        b"[]",
        b'{"pool": "default", "generation": 1, "models": 5}',
        b'{"pool": "default", "generation": 1, "models": [5]}',
        b'{"pool": "default", "generation": 1, "models": [{"name": "aa.default"}]}',
        b'{"pool": "default", "generation": 1, "models": [{"name": ["aa.default"], "versions": []}]}',
        b'{"pool": "Default!", "generation": 1, "models": []}',
        STATES[2].encoded().replace(b"aa.default", b"zz.default"),
        STATES[2].encoded().replace(b"aa.default", b"bb.default"),
    ],
)
def test_what_breaks_the_contract_is_refused_in_the_usual_words(content: bytes) -> None:
    """And the next document is parsed all the same."""
    parser = Parser(DesiredState)
    parser.received(STATES[1].encoded())
    with pytest.raises(ValidationError) as usual:
        DesiredState.received(content)
    with pytest.raises(ValidationError) as found:
        parser.received(content)
    assert found.value.errors(include_url=False, include_context=False) == usual.value.errors(
        include_url=False, include_context=False
    )
    assert parser.received(STATES[2].encoded()) == STATES[2]


def test_a_document_without_models_is_one() -> None:
    """They have a default."""
    assert Parser(DesiredState).received(b'{"pool": "default", "generation": 1}').models == ()
