"""How the on-call commands print: tables for people, one line an event, steps with marks. No decisions here."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deployer.console.plain_words import ago, event_words, seconds_text
from deployer.console.views import CommandView, EventView, RolloutPage, RolloutSummary
from deployer.console.why.answer import StepState, WhyAnswer
from roost.cli.wording import clock_time, screen
from roost.contracts.rollout import Phase
from roost.ports.clock import Clock

MARKS: Final = {
    StepState.DONE: ("✓", "green"),
    StepState.RUNNING: ("…", "cyan"),
    StepState.WAITING: ("·", "yellow"),
    StepState.FAILED: ("✗", "red"),
    StepState.SKIPPED: ("-", "dim"),
    StepState.UNKNOWN: ("?", "magenta"),
}
COLOURS: Final = {
    Phase.LIVE: "green",
    Phase.SETTLED: "green",
    Phase.REJECTED: "red",
    Phase.HALTED: "bold red",
    Phase.ROLLED_BACK: "red",
    Phase.ROLLING_BACK: "yellow",
    Phase.AWAITING_APPROVAL: "bold yellow",
    Phase.CANCELLED: "dim",
    Phase.SUPERSEDED: "dim",
}


def rollouts(page: RolloutPage, clock: Clock) -> None:
    """A table, newest first."""
    out = screen()
    if not page.items:
        out.print("No rollouts. The first comes with `roost signup ua`, or with `roost train CUSTOMER --reason …`.")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("rollout", "customer", "version", "phase", "since"):
        table.add_column(name, no_wrap=True)
    table.add_column("reason", no_wrap=True, overflow="ellipsis", min_width=16)
    for row in page.items:
        phase = Text(row.phase.value, style=COLOURS.get(row.phase, "cyan"))
        customer = row.customer if row.model == "default" else row.name
        since = ago(row.entered_at, clock.now())
        table.add_row(row.id, customer, str(row.version or "–"), phase, since, row.reason)
    out.print(table)
    if page.next_before is not None:
        out.print(f"More: --before {page.next_before.isoformat()}", style="dim")


def event(found: EventView, now: datetime) -> None:
    """One line."""
    data = found.data
    what = event_words(found)
    reason = data.get("reason") or data.get("name") or ""
    version = f" v{data['version']}" if data.get("version") else ""
    line = Text.assemble(
        (clock_time(found.time, now) + found.time.strftime(".%f")[:4], "dim"),
        "  ",
        (f"{found.subject:<12}", "bold"),
        f"{what}{version}",
        "  ",
        (str(reason), "default"),
    )
    Console(soft_wrap=True).print(line)


def why(answer: WhyAnswer, now: datetime) -> None:
    """The headline, each step, and what to do next."""
    out = Console(soft_wrap=True, highlight=False)
    out.print(Text(answer.sentence, style="bold"))
    out.print()
    for step in answer.steps:
        mark, colour = MARKS[step.state]
        indent = "    " if step.key.startswith("replica:") else "  "
        took = f"  ({seconds_text(step.seconds)})" if step.seconds is not None else ""
        at = f"{clock_time(step.at, now)}  " if step.at else ""
        title = "" if step.key.startswith("replica:") else f"{step.title:<11}"
        out.print(
            Text.assemble((f"{indent}{mark} ", colour), (title, "bold"), (at, "dim"), step.sentence, (took, "dim"))
        )
        if step.key == "canary":
            for check, said in step.facts.items():
                out.print(Text(f"      {check}: {said}", style="dim"))
    if answer.trace_id:
        page = f"  {answer.trace_page}" if answer.trace_page else ""
        out.print(Text(f"    trace {answer.trace_id}{page}", style="dim"))
    out.print()
    out.print(Text.assemble(("Next: ", "bold"), answer.next.sentence))
    if answer.next.command:
        out.print(Text(f"      {answer.next.command}", style="cyan"))
    if answer.next.runbook:
        out.print(Text(f"      {answer.next.runbook}", style="dim"))


def command(found: CommandView, seconds: float) -> None:
    """What became of a command, with the seconds that the person waited."""
    if found.done_at is None:
        print(
            f"accepted as {found.event_id}, not done after {seconds_text(seconds)}: it is kept and will be done. "
            "Where it stays so, the deployer may be down (`roost status`)."
        )
        return
    print(f"{found.outcome} ({seconds_text(seconds)})")


def arrived(row: RolloutSummary, seconds: float) -> None:
    """Where the rollout of a command stands."""
    print(f"{row.name} version {row.version} is {row.phase.value}: {row.reason} ({seconds_text(seconds)})")
