"""B4: what one promotion costs in a pool of many models, before any node acts: plan, encode, parse, render.

Everything is computed here, in one process, for pools of different sizes. "Again" is the next generation, in which one
model of all has changed: what a deployer and its nodes do for each promotion. The baseline is the serialisation of the
same list of models as TensorFlow Serving's own configuration message.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from bench.figures import Grid
from bench.machine import machine
from bench.report import Report
from deployer.domain.planner import Flip, Load, plan
from roost.adapters.tf_messages import model_server_config_pb2
from roost.contracts.acks import NodeModel, NodeState, NodeVersion, VersionState
from roost.contracts.desired import STABLE, DesiredModel, DesiredState, DesiredVersion
from roost.contracts.incremental import Encoder, Parser

SIZES: Final = (10, 1_000, 5_000, 50_000)
_TARGET_SIZE: Final = 50_000
_TARGET_SECONDS: Final = 1.0
_TURNS: Final = 5
_COLUMNS: Final = (
    *("models", "plan", "encode first", "again", "parse first", "again", "a node's answer first", "again"),
    *("the whole again", "plain protobuf", "µs a model"),
)

ResultT = TypeVar("ResultT")


def run(*, sizes: Sequence[int] = SIZES) -> Report:
    """Measure each size; the least of five turns counts, since other programs only add."""
    facts = machine()
    rows = [_row(size) for size in sizes]
    whole = {size: float(row[8] or 0) / 1000 for size, row in zip(sizes, rows, strict=True)}
    targets = []
    if _TARGET_SIZE in whole:
        found = whole[_TARGET_SIZE]
        targets.append((f"{_TARGET_SIZE:,} models in ≤ {_TARGET_SECONDS:g} s", f"{found:.3f} s", found <= 1.0))
    grid = Grid(
        title="B4: a promotion of one model among many, processor time in milliseconds",
        columns=_COLUMNS,
        rows=tuple(rows),
        notes=(
            "plan: a load and a flip. again: the next generation, in which one model differs.",
            "the whole again: plan, encode, parse and one node's answer, as for each promotion's generation.",
            "plain protobuf: a ModelServerConfig of the same models, made, serialised and parsed.",
        ),
    )
    return Report(
        program="B4",
        machine=facts,
        sizes={"models": ", ".join(f"{size:,}" for size in sizes), "least of turns": _TURNS},
        grids=[grid],
        targets=targets,
    )


def _row(size: int) -> tuple[str | float | int | None, ...]:
    state = DesiredState(pool="default", generation=1, models=tuple(_model(number) for number in range(size)))
    name = state.models[size // 2].name
    changed, plan_ms = _least(lambda: _promoted(state, name))
    first, again = state.encoded(), changed.encoded()
    encoder, parser = Encoder(), Parser(DesiredState)
    answers, nodes = Parser(NodeState), (_answer(state), _answer(changed))
    _, encode_first = _least(lambda: Encoder().encoded(state))
    _, parse_first = _least(lambda: Parser(DesiredState).received(first))
    _, answer_first = _least(lambda: Parser(NodeState).received(nodes[0]))
    encode_again = _after(lambda: encoder.encoded(state), lambda: encoder.encoded(changed))
    parse_again = _after(lambda: parser.received(first), lambda: parser.received(again))
    answer_again = _after(lambda: answers.received(nodes[0]), lambda: answers.received(nodes[1]))
    _, plain = _least(lambda: _protobuf(state))
    whole = plan_ms + encode_again + parse_again + answer_again
    return (
        f"{size:,}",
        *(plan_ms, encode_first, encode_again, parse_first, parse_again, answer_first, answer_again),
        *(whole, plain, whole / size * 1000),
    )


def _model(number: int) -> DesiredModel:
    listed = DesiredVersion(version=1, digest=f"sha256:{number:064x}", rollout_id=f"0192f0c1-{number:08d}")
    return DesiredModel(name=f"customer-{number:06d}.default", versions=(listed,), labels={STABLE: 1})


def _promoted(state: DesiredState, name: str) -> DesiredState:
    version = DesiredVersion(version=2, digest=f"sha256:{2:064x}", rollout_id="0192f0c1-promoted")
    return plan(plan(state, [Load(name=name, version=version)], "load"), [Flip(name=name, version=2)], "flip")


def _answer(state: DesiredState) -> bytes:
    models = tuple(
        NodeModel(
            name=model.name,
            versions=tuple(
                NodeVersion(version=one.version, state=VersionState.PROVEN, seconds=0.1, memory_bytes=4_000_000)
                for one in model.versions
            ),
            labels=dict(model.labels),
        )
        for model in state.models
    )
    answer = NodeState(
        node="node-1",
        pool=state.pool,
        generation=state.generation,
        settled=True,
        converged=True,
        ready=True,
        models=models,
        rest_address="127.0.0.1:8501",
        grpc_address="127.0.0.1:8500",
    )
    return answer.model_dump_json().encode()


def _protobuf(state: DesiredState) -> object:
    config = model_server_config_pb2.ModelServerConfig()
    for model in state.models:
        entry = config.model_config_list.config.add(
            name=model.name, base_path=f"/models/{model.name}", model_platform="tensorflow"
        )
        entry.model_version_policy.specific.versions.extend(one.version for one in model.versions)
        for label, version in model.labels.items():
            entry.version_labels[label] = version
    return model_server_config_pb2.ModelServerConfig.FromString(config.SerializeToString())


def _least(act: Callable[[], ResultT]) -> tuple[ResultT, float]:
    """What it returns, and the least milliseconds of processor time that it took."""
    taken = []
    for _ in range(_TURNS):
        began = time.process_time()
        result = act()
        taken.append(time.process_time() - began)
    return result, min(taken) * 1000


def _after(before: Callable[[], object], act: Callable[[], object]) -> float:
    """Milliseconds of `act`, each time after `before`."""
    taken = []
    for _ in range(_TURNS):
        before()
        began = time.process_time()
        act()
        taken.append(time.process_time() - began)
    return min(taken) * 1000
