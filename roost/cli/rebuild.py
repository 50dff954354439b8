"""Command of `roost`: rebuild."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from roost import settings

if TYPE_CHECKING:
    from roost.rebuild.plan import Plan

PANEL = "Set-up"


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.command("rebuild", rich_help_panel=PANEL)(rebuild)


def rebuild(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")] = False,
    onto: Annotated[
        bool, typer.Option("--onto", help="The ledger has rows, of a backup: add what log and objects know beyond it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Make the ledger again, from the desired objects, the stored versions and Kafka's topics.

    What serves is not touched. Stop consumers and deployer first; see docs/runbooks/ledger-lost.md.
    """
    from roost.rebuild.wiring import opened

    with opened(settings.load()) as work:
        plan = work.plan(lambda line: print(line, file=sys.stderr), onto=onto)
        if not dry_run:
            work.write(plan, onto=onto)
    if as_json:
        print(json.dumps({"written": not dry_run, **_document(plan)}, indent=1))
    else:
        _show(plan, dry_run=dry_run)


def _document(plan: Plan) -> dict[str, object]:
    contents = plan.contents
    return {
        "generations": dict(contents.generations),
        "customers": {row.customer: row.stage.value for row in contents.onboardings},
        "rollouts": [
            {
                "id": one.rollout.id,
                "name": one.rollout.name,
                "version": one.rollout.version,
                "previous_version": one.rollout.previous_version,
                "phase": one.rollout.phase.value,
                "answers": one.rollout.id in contents.answering,
                "lines": len(one.history),
            }
            for one in contents.rollouts
        ],
        "quarantines": [entry.digest for entry in contents.quarantines],
        "freezes": [entry.scope for entry in contents.freezes],
        "events_known": len(contents.inbox) + len(contents.commands),
        "findings": list(plan.findings),
        "ask_again": [f"{row.command.command} by {row.command.actor}: {row.command.reason}" for row in plan.unanswered],
    }


def _show(plan: Plan, *, dry_run: bool) -> None:
    contents = plan.contents
    answering = set(contents.answering)
    for one in contents.rollouts:
        row = one.rollout
        if row.id in answering or not row.terminal:
            before = f", before it {row.previous_version}" if row.previous_version else ""
            print(f"{row.name:<32} version {row.version:<5} {row.phase:<18}{before}")
    ended = sum(one.rollout.terminal and one.rollout.id not in answering for one in contents.rollouts)
    print(
        f"{len(contents.onboardings)} customers, {len(contents.rollouts)} rollouts ({len(answering)} answer, {ended} "
        f"have ended), {len(contents.quarantines)} quarantines, {len(contents.freezes)} freezes, "
        f"{len(contents.inbox) + len(contents.commands)} events known as handled."
    )
    for finding in plan.findings:
        print(f"! {finding}")
    for asked in plan.unanswered:
        command = asked.command
        print(f"! ask again, if still wanted: {command.command} by {command.actor}: {command.reason}")
    print("Nothing was written." if dry_run else "The ledger is made again. No generation was written.")
