"""The acts. Each shows one promise and checks it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import psutil

from deployer.console.views import RolloutDetail
from roost.contracts.errors import RoostError
from roost.contracts.ids import DEFAULT_MODEL, served_name
from roost.contracts.rollout import Phase
from roost.embedded.demo import predictions
from roost.embedded.demo.api import entered
from roost.embedded.demo.follow import Follower, Way, table
from roost.embedded.demo.load import Load, Row
from roost.embedded.demo.stage import Stage
from roost.embedded.state_dir import StateDir
from roost.settings import without_ours


def environment(state_dir: Path) -> dict[str, str]:
    """Environment of a command that uses the stack in `state_dir`, as a person's shell would have it."""
    return without_ours() | {
        "ROOST_STATE_DIR": str(state_dir),
        "ROOST_SETTINGS_FILE": str(StateDir.at(state_dir).settings),
    }


#: Customer to what they are here for.
AIRLINES: Mapping[str, str] = {
    "ua": "United, about 58,000 flights",
    "vx": "Virgin America, about 5,000 flights",
    "oo": "SkyWest, 32 flights: too few for a model of their own",
}
LARGE, MIDDLING, TINY = AIRLINES
Requests = Mapping[str, Sequence[Row]]


def _roost(stage: Stage, *arguments: str) -> str:
    """Run the command as a person would. Raises `RoostError` with what it said."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment(stage.state_dir), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RoostError(f"{' '.join(arguments[1:])} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _known(stage: Stage, *customers: str) -> frozenset[str]:
    return frozenset(item.id for customer in customers for item in stage.api.rollouts(customer).items)


def _follow(stage: Stage, customers: Sequence[str], requests: Requests, known: frozenset[str]) -> list[Way]:
    grpc = [node.grpc for node in stage.nodes]

    def answers(customer: str, version: int) -> bool:
        return predictions.all_answer(grpc, served_name(customer, DEFAULT_MODEL), requests[customer], version)

    follower = Follower(stage.api, stage.clock, answers, stage.console)
    return follower.follow(customers, stage.clock.now(), deadline=180, known=known)


def sign_up(stage: Stage, requests: Requests) -> None:
    """Three airlines come; nobody does anything."""
    stage.title(1, "Three airlines sign up. Nobody is involved from here on.")
    known = _known(stage, *AIRLINES)
    for customer, who in AIRLINES.items():
        stage.say(f"roost signup {customer}   # {who}")
        _roost(stage, "-m", "roost", "signup", customer)
    ways = _follow(stage, tuple(AIRLINES), requests, known)
    stage.console.print(table(ways))
    stage.check(all(way.done for way in ways), f"all three are answered by each of {len(stage.nodes)} replicas")
    tiny = next(way for way in ways if way.customer == TINY).rollout
    scope = tiny.facts.get("scope") if tiny else None
    stage.check(
        scope == "cohort", f"{TINY} has too few flights and got its cohort's model; the event says so ({scope})"
    )
    for way in ways:
        stage.figure(f"signup to answer everywhere, {way.customer}", f"{way.seconds['answers everywhere']:.1f} s")
    _split(stage, ways[0].rollout)


def _split(stage: Stage, detail: RolloutDetail | None) -> None:
    if detail is None:
        return
    received, live = entered(detail, Phase.RECEIVED), entered(detail, Phase.LIVE)
    if received and live:
        stage.figure(f"ready to serving, {detail.rollout.customer}", f"{(live - received).total_seconds():.2f} s")
    for line in detail.history[1:]:
        if line.after in {Phase.STORED, Phase.VETTED, Phase.CANARY, Phase.PROMOTING, Phase.LIVE}:
            stage.figure(f"  … until {line.after.value}", f"{line.seconds or 0:.2f} s")


def predict(stage: Stage, requests: Requests) -> None:
    """Every replica, REST and gRPC, the same answer."""
    stage.title(2, "Predictions for real flights, from every replica, by REST and by gRPC.")
    for customer in AIRLINES:
        name, rows = served_name(customer, DEFAULT_MODEL), requests[customer]
        grpc = [predictions.by_grpc(node.grpc, name, rows) for node in stage.nodes]
        rest = [predictions.by_rest(node.rest, name, rows) for node in stage.nodes]
        spread = float(np.ptp(np.stack([*(answer.scores for answer in grpc), *rest]), axis=0).max())
        first = rows[0]
        stage.say(
            f"{customer}: flight {first.get('origin')}→{first.get('dest')} is late with {grpc[0].scores[0]:.1%};"
            f" {len(rows)} flights × {len(stage.nodes)} replicas × 2 protocols"
        )
        stage.check(spread < 1e-5, f"{customer}: all agree (largest difference {spread:.1e})")
        stage.check(len({answer.version for answer in grpc}) == 1, f"{customer}: all on version {grpc[0].version}")


def retrain_under_load(stage: Stage, requests: Requests) -> None:
    """A later window, while requests run."""
    stage.title(3, f"{MIDDLING} is retrained on a later window and promoted while a load runs.")
    name = served_name(MIDDLING, DEFAULT_MODEL)
    before = predictions.by_grpc(stage.front_grpc, name, requests[MIDDLING]).version
    known = _known(stage, MIDDLING)
    with Load(stage.front_rest, stage.front_grpc, name, requests[MIDDLING]) as load:
        stage.say(f"roost train {MIDDLING} --window 2013-03-01:2013-12-01 --reason 'demo'")
        window = ("--window", "2013-03-01:2013-12-01")
        _roost(stage, "-m", "roost", "train", MIDDLING, *window, "--reason", "demo: a later window")
        (way,) = _follow(stage, [MIDDLING], requests, known)
        stage.clock.wait(1)
    report = load.report
    detail = way.rollout
    after = detail.rollout.version if detail else 0
    for failure in report.failures[:3]:
        stage.say(f"[red]{failure}[/]")
    stage.check(not report.failures, f"{report.total} requests during it, {len(report.failures)} failed")
    both = {before, after} <= set(report.versions)
    stage.check(both, f"both versions answered: {dict(sorted(report.versions.items()))}")
    skew = detail.rollout.skew_ms if detail else None
    stage.check(skew is not None, f"first to last replica on version {after}: {skew or 0:.0f} ms")
    stage.figure("skew, first to last replica", f"{skew or 0:.0f} ms")
    stage.figure(
        "load during a promotion",
        f"{report.total} requests, {len(report.failures)} failed, p99 {report.quantile(0.99):.0f} ms",
    )


def refuse_nan(stage: Stage, requests: Requests) -> None:
    """A bad model never gets out."""
    stage.title(4, f"A model of {LARGE} that answers NaN is trained, staged and announced.")
    name = served_name(LARGE, DEFAULT_MODEL)
    before = predictions.by_grpc(stage.front_grpc, name, requests[LARGE])
    known = _known(stage, LARGE)
    run = f"demo-nan-{int(stage.clock.now().timestamp())}"
    with Load(stage.front_rest, stage.front_grpc, name, requests[LARGE], per_second=30) as load:
        _roost(stage, "-m", "roost.embedded.demo.broken", LARGE, run)
        _roost(stage, "-m", "training", "publish", "--customer", LARGE, "--run-id", run)
        detail = _end_of(stage, LARGE, known)
    refused = detail.rollout.phase is Phase.REJECTED
    stage.check(refused and "sanity" in detail.rollout.reason, f"{detail.rollout.phase.value}: {detail.rollout.reason}")
    report = load.report
    stage.check(
        not report.failures and set(report.versions) == {before.version},
        f"the live version {before.version} never wavered: {report.total} requests, {len(report.failures)} failed",
    )
    after = predictions.by_grpc(stage.front_grpc, name, requests[LARGE])
    stage.check(bool(np.array_equal(before.scores, after.scores)), "its answers are the same to the bit")


def _end_of(stage: Stage, customer: str, known: frozenset[str]) -> RolloutDetail:
    end = stage.clock.monotonic() + 120
    while stage.clock.monotonic() < end:
        new = [item for item in stage.api.rollouts(customer).items if item.id not in known]
        if new and new[0].terminal:
            return stage.api.rollout(new[0].id)
        stage.clock.wait(0.2)
    raise RoostError(f"the new rollout of {customer} did not come to an end within 120 s: see `roost why {customer}`")


def roll_back(stage: Stage, requests: Requests) -> None:
    """One command, well under a second."""
    stage.title(5, f"On-call rolls {MIDDLING} back, with a reason.")
    name = served_name(MIDDLING, DEFAULT_MODEL)
    current = stage.api.rollouts(MIDDLING).items[0]
    addresses, rows, goal = [node.grpc for node in stage.nodes], requests[MIDDLING], current.previous_version or 0
    with Load(stage.front_rest, stage.front_grpc, name, rows) as load:
        stage.clock.wait(1)
        begun = stage.clock.monotonic()
        done = stage.api.command("rollback", "demo: complaints from the airline", customer=MIDDLING)
        returned = _wait_for(stage, addresses, name, rows, goal)
        seconds = stage.clock.monotonic() - begun
        stage.clock.wait(1)
    stage.say(f"roost rollback {MIDDLING} --reason 'complaints from the airline'   → {done.outcome}")
    stage.check(returned, f"every replica answers with version {goal} again")
    stage.check(seconds < 1, f"from the command to the last replica's answer: {seconds:.2f} s")
    stage.check(not load.report.failures, f"{load.report.total} requests meanwhile, {len(load.report.failures)} failed")
    stage.figure("rollback, command to every replica", f"{seconds:.2f} s")


def kill_a_replica(stage: Stage, requests: Requests) -> None:
    """A kill -9 that nobody notices."""
    victim = stage.nodes[0]
    stage.title(6, f"kill -9 of replica {victim.node}, its model server and its gateway.")
    name = served_name(LARGE, DEFAULT_MODEL)
    version = predictions.by_grpc(stage.front_grpc, name, requests[LARGE]).version
    with Load(stage.front_rest, stage.front_grpc, name, requests[LARGE]) as load:
        begun = stage.clock.monotonic()
        _kill(victim.node)
        stage.clock.wait(1)
        back = _wait_for(stage, [victim.grpc], name, requests[LARGE], version)
        seconds = stage.clock.monotonic() - begun
    stage.check(back, f"{victim.node} answers with version {version} again after {seconds:.1f} s, by itself")
    for failure in load.report.failures[:3]:
        stage.say(f"[red]{failure}[/]")
    stage.check(not load.report.failures, f"{load.report.total} requests meanwhile, {len(load.report.failures)} failed")
    stage.figure("replica killed to converged", f"{seconds:.1f} s")


def _kill(node: str) -> None:
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "node" in words and "--name" in words and words[words.index("--name") + 1] == node:
            family = [*process.children(recursive=True), process]
            for member in family:
                member.kill()


def _wait_for(stage: Stage, addresses: Sequence[str], name: str, rows: Sequence[Row], version: int) -> bool:
    end = stage.clock.monotonic() + 90
    while stage.clock.monotonic() < end:
        if predictions.all_answer(addresses, name, rows, version):
            return True
        stage.clock.wait(0.02)
    return False
