"""Sends one model through a running stack and takes down its way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from bench.asking import Question, Seen, Watch
from bench.variants import Variant, restage
from bench.way import Way
from roost.adapters import kafka, postgres
from roost.adapters.gcs import open_store
from roost.adapters.node_control import HttpNodeControl
from roost.adapters.node_directory import open_directory
from roost.contracts.errors import NotFound
from roost.contracts.ids import DEFAULT_MODEL, rollout_id, served_name
from roost.contracts.rollout import TERMINAL, Phase, Rollout, Transition
from roost.contracts.verdict import Verdict
from roost.ports.clock import SystemClock
from roost.ports.event_bus import EventPublisher
from roost.ports.ledger import Ledger, Wakeups
from roost.ports.object_store import ObjectStore
from roost.ports.serving import NodeAddress, NodeControl
from roost.settings import Settings
from training.publishing import ready_event

#: Longest that one rollout may take before the bench gives up. Seconds.
PATIENCE: Final = 60.0
#: Models that are announced at a time to fill a fleet.
_AT_ONCE: Final = 50
_PREDICTING: Final = frozenset({"signature", "golden", "sanity"})


class WentWrong(RuntimeError):
    """A rollout did not become live: there is nothing to measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """What is needed to send models and to watch them arrive."""

    store: ObjectStore
    publisher: EventPublisher
    ledger: Ledger
    wakeups: Wakeups
    control: NodeControl
    nodes: tuple[NodeAddress, ...]
    watch: Watch
    #: Seconds between two questions to one node.
    every: float

    def send(self, variant: Variant, customer: str, run_id: str) -> Way:
        """Stage the variant for that customer, announce it, and follow it until it is live.

        Raises:
            WentWrong: it ended otherwise.
            NeverAnswered: a node did not come to it.
        """
        staged = restage(self.store, variant, customer, run_id)
        identity = rollout_id(customer, DEFAULT_MODEL, staged.manifest.digest)
        live = self.ledger.live(customer, DEFAULT_MODEL)
        question = Question.of(
            served_name(customer, DEFAULT_MODEL), variant.question, variant.answer, above=live.version if live else 0
        )
        event = ready_event(staged, at=SystemClock().now())
        generation = self.generation()
        self.wakeups.wait(0)
        published = time.time()
        self.publisher.publish(event)
        self.until(identity, Phase.PROMOTING)
        seen = self.first_answers(question, after=generation)
        rollout = self.until(identity, Phase.LIVE)
        return self._way(rollout, published, {node: one.at for node, one in seen.items()})

    def fill(self, variant: Variant, customers: Sequence[str], say: Callable[[str], None]) -> None:
        """Have each of them served a first version of it. Announced many at a time, as signups come.

        Raises:
            WentWrong: one did not become live.
        """
        for first in range(0, len(customers), _AT_ONCE):
            some, began = customers[first : first + _AT_ONCE], time.monotonic()
            identities = []
            for customer in some:
                staged = restage(self.store, variant, customer, f"first-{customer}")
                self.publisher.publish(ready_event(staged, at=SystemClock().now()))
                identities.append(rollout_id(customer, DEFAULT_MODEL, staged.manifest.digest))
            for identity in identities:
                self.until(identity, Phase.SETTLED, patience=_AT_ONCE * PATIENCE)
            seconds = time.monotonic() - began
            say(f"{first + len(some)} of {len(customers)} others are served, the last {len(some)} in {seconds:.1f} s")

    def generation(self) -> int:
        """The newest that a node has taken up."""
        return max(self.control.state(node, deadline=5).generation for node in self.nodes)

    def first_answers(self, question: Question, *, after: int) -> dict[str, Seen]:
        """Each node's first right answer, asked for from when the generation `after` that one is loaded everywhere.

        Until then the label cannot move, and 600 questions a second would slow down the loads on the same cores.

        Raises:
            NeverAnswered: a node did not come to it.
        """
        with ThreadPoolExecutor(len(self.nodes)) as threads:
            list(threads.map(lambda node: self.control.await_settled(node, after + 1, deadline=PATIENCE), self.nodes))
        return self.watch.first_answers(question, every=self.every, seconds=PATIENCE)

    def settle(self, customer: str) -> None:
        """Wait until that customer's rollout is settled."""
        row = self.ledger.live(customer, DEFAULT_MODEL)
        if row is not None:
            self.until(row.id, Phase.SETTLED)

    def until(self, identity: str, phase: Phase, *, patience: float = PATIENCE) -> Rollout:
        """The rollout once it has come to that phase, or past it. Raises `WentWrong` where it does not in that time."""
        order = list(Phase)
        end = time.monotonic() + patience
        while time.monotonic() < end:
            found = self._row(identity)
            if found is not None:
                if found.phase in (TERMINAL - {Phase.SETTLED}) | {Phase.AWAITING_APPROVAL, Phase.ROLLING_BACK}:
                    raise WentWrong(f"{found.name} run {found.run_id} is {found.phase}: {found.reason}")
                if order.index(found.phase) >= order.index(phase):
                    return found
            self.wakeups.wait(0.5)
        raise WentWrong(f"rollout {identity} was not {phase} within {patience:g} s")

    def _row(self, identity: str) -> Rollout | None:
        try:
            return self.ledger.rollout(identity)
        except NotFound:
            return None

    def _way(self, rollout: Rollout, published: float, answered: Mapping[str, float]) -> Way:
        history = {line.after: line for line in self.ledger.history(rollout.id)}
        at = {phase: line.at.timestamp() for phase, line in history.items()}
        loads = [self._load_seconds(node, rollout) for node in self.nodes]
        live = history[Phase.LIVE]
        return Way(
            published=published,
            received=rollout.received_at.timestamp(),
            stored=at[Phase.STORED],
            vetted=at[Phase.VETTED],
            canary=at[Phase.CANARY],
            promoting=at[Phase.PROMOTING],
            live=at[Phase.LIVE],
            flip_written=at[Phase.LIVE] - _number(live, "flip_seconds"),
            answered=answered,
            copying=_number(history[Phase.STORED], "seconds"),
            canary_load=_canary_load(rollout.verdict),
            checking=_checking(rollout.verdict),
            node_load=max(loads),
            skew=_number(live, "skew_ms") / 1000,
        )

    def _load_seconds(self, node: NodeAddress, rollout: Rollout) -> float:
        model = self.control.state(node, deadline=5).model(rollout.name)
        entry = model.state_of(rollout.version) if model else None
        if entry is None or entry.seconds is None:
            raise WentWrong(f"{node.node} does not say how long {rollout.name} version {rollout.version} took to load")
        return entry.seconds


@contextmanager
def driver(settings: Settings, *, every: float) -> Iterator[Driver]:
    """Connect to the stack of those settings."""
    nodes = tuple(open_directory(settings.serving).nodes(settings.serving.pool))
    with ExitStack() as stack:
        made = Driver(
            store=open_store(settings.storage),
            publisher=kafka.open_publisher(settings.kafka),
            ledger=postgres.open_ledger(settings.database),
            wakeups=postgres.open_wakeups(settings.database),
            control=HttpNodeControl(settings.serving.control_token),
            nodes=nodes,
            watch=Watch({node.node: node.grpc for node in nodes}),
            every=every,
        )
        for part in (made.publisher, made.ledger, made.wakeups, made.watch):
            stack.callback(part.close)
        yield made


def _number(line: Transition, fact: str) -> float:
    value = line.facts.get(fact)
    if not isinstance(value, int | float):
        raise WentWrong(f"the transition to {line.after} of {line.rollout_id} has no {fact}")
    return float(value)


def _canary_load(verdict: Verdict | None) -> float:
    found = [one.estimate for one in verdict.checks if one.check == "load"] if verdict else []
    if not found or found[0] is None:
        raise WentWrong("the verdict does not say how long the canary took to load")
    return found[0]


def _checking(verdict: Verdict | None) -> float:
    checks = verdict.checks if verdict else ()
    return sum(one.seconds or 0.0 for one in checks if one.check in _PREDICTING)
