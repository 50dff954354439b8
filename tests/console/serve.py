"""Serves the seeded console, for looking at its pages without a stack: ``python -m tests.console.serve --port 8088``."""

from __future__ import annotations

import argparse
import threading
from typing import cast

from deployer.console.main import serve
from deployer.console.sources import ConsoleLedger
from deployer.domain.scopes import asked
from roost import process
from roost.contracts import events
from roost.contracts.cloudevents import Event
from roost.contracts.errors import DatabaseUnavailable
from roost.contracts.events import Command, OperationReported
from roost.contracts.rollout import Phase, Rollout
from roost.ports.ledger import CommandRow, RolloutQuery
from roost.settings import ConsoleSettings
from roost.telemetry import logs
from tests.console import seed
from tests.console.world import World


class SmallDeployer:
    """Does approve, reject and rollback as simply as can be, so that the buttons of the pages lead somewhere."""

    def __init__(self, world: World) -> None:
        self._world = world

    def run(self, stop: threading.Event) -> None:
        wakeups = self._world.listen()
        while not stop.is_set():
            for row in self._world.ledger.open_commands(10):
                self.handle(row)
            wakeups.wait(0.2)

    def handle(self, row: CommandRow) -> None:
        command, ledger = row.command, self._world.ledger
        rollout_id = command.rollout_id
        if rollout_id is None and command.customer:
            found = ledger.rollouts(RolloutQuery(customer=command.customer, limit=1))
            rollout_id = found[0].id if found else None
        outcome = f"{command.command.value} done"
        if command.command is Command.THAW:
            ledger.thaw(asked(command).stored)
        elif rollout_id:
            outcome = self._act(command.command, command.actor, command.reason, ledger.rollout(rollout_id))
        told = OperationReported(
            what=f"command.{command.command}", actor=command.actor, reason=outcome, customer=command.customer,
            facts={"command_id": row.event_id, "rollout_id": rollout_id, "done": not outcome.startswith("refused")},
        )  # fmt: skip
        now = self._world.clock.now()
        event = Event(
            id=f"told-{row.event_id}", type=events.OPERATION_REPORTED, source="roost/deployer",
            subject=command.customer or "fleet", time=now, data=told,
        )  # fmt: skip
        ledger.close_command(row.event_id, outcome=outcome, at=now, events=[event])

    def _act(self, command: Command, actor: str, reason: str, rollout: Rollout) -> str:
        world, seconds = self._world, (self._world.clock.now() - rollout.entered_at).total_seconds()
        if command is Command.APPROVE and rollout.phase is Phase.AWAITING_APPROVAL:
            rollout = rollout.model_copy(update={"approved_by": actor})
            generation = world.generation + 1
            rollout = world.move(
                rollout, Phase.PROMOTING, seconds, f"approved by {actor}: {reason}", actor=actor, load_generation=generation,
                approved_by=actor,
            )  # fmt: skip
            world.serve(rollout)
            rollout = world.move(
                rollout, Phase.LIVE, 0.4, f"version {rollout.version} answers on 3 of 3 nodes", skew_ms=5.1,
                flip_generation=world.generation,
            )  # fmt: skip
            return f"approved: {rollout.name} version {rollout.version} is LIVE"
        if command is Command.REJECT and rollout.phase is Phase.AWAITING_APPROVAL:
            world.move(rollout, Phase.CANCELLED, seconds, f"rejected by {actor}: {reason}", actor=actor)
            return f"rejected: {rollout.name} version {rollout.version} is CANCELLED"
        return f"refused: {command.value} does nothing to a rollout in {rollout.phase.value}"


class Away:
    """A ledger whose database does not answer."""

    def __getattr__(self, name: str) -> object:
        raise DatabaseUnavailable(f"PostgreSQL does not answer, asked for {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8088)
    parser.add_argument("--empty", action="store_true", help="nothing has happened yet")
    parser.add_argument("--ledger-away", action="store_true", help="no database answers")
    parser.add_argument("--node-down", action="store_true", help="default-2 does not answer")
    chosen = parser.parse_args()
    logs.configure("console", form="text")
    world = World.empty() if chosen.empty else seed.build()
    world.pool.faults("default-2").down = chosen.node_down
    stop = threading.Event()
    process.obey_signals("console", stop)
    if chosen.ledger_away:
        world.ledger = cast("ConsoleLedger", Away())
    else:
        threading.Thread(target=SmallDeployer(world).run, args=(stop,), daemon=True).start()
    serve(world.sources, ConsoleSettings(port=chosen.port, url=f"http://127.0.0.1:{chosen.port}"), stop)


if __name__ == "__main__":
    main()
