"""Commands of the on-call engineer: rollouts, events, why, and the commands that change something.

Exit codes: 0 done; 1 an error, said in one line; 2 wrong usage; 3 accepted and not done within --wait; 4 the deployer
refused it; 130 Ctrl-C.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Final

import typer

from deployer.console.operator import operator
from deployer.console.views import CommandView, EventPage, RolloutDetail, RolloutPage
from deployer.console.why.answer import WhyAnswer
from roost import settings
from roost.cli import oncall_words
from roost.cli.oncall_client import ConsoleClient, Parameters
from roost.cli.wording import EXIT_INTERRUPTED
from roost.contracts.errors import Permanent
from roost.contracts.events import Command
from roost.contracts.ids import DEFAULT_MODEL
from roost.contracts.rollout import Phase
from roost.ports.clock import Clock, SystemClock

PANEL: Final = "On call"
#: How often a rollout is looked at while it moves.
_LOOK_SECONDS: Final = 0.1
EXIT_OPEN: Final = 3
EXIT_REFUSED: Final = 4

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Customer = Annotated[str, typer.Argument(help="Customer id, such as ua.", show_default=False)]
Target = Annotated[str | None, typer.Argument(help="Customer id.", show_default=False)]
Scope = Annotated[str | None, typer.Argument(help="Customer id; without it, the whole fleet.", show_default=False)]
Model = Annotated[str, typer.Option(help="Model id.")]
Rollout = Annotated[str | None, typer.Option(help="This rollout, instead of the customer's newest.")]
Reason = Annotated[str, typer.Option(help="Why. It is kept, with your name.", show_default=False)]
Actor = Annotated[str | None, typer.Option(help="Who asks; the account you are signed in with by default.")]
Wait = Annotated[float, typer.Option(min=0, max=60, help="Seconds to wait for the outcome.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    for name, function in _COMMANDS.items():
        app.command(name, rich_help_panel=PANEL)(function)


def rollouts(
    of: Annotated[
        str | None, typer.Argument(metavar="customer", help="Only this customer's.", show_default=False)
    ] = None,
    customer: Annotated[str | None, typer.Option(help="The same as an option.")] = None,
    phase: Annotated[list[Phase] | None, typer.Option(help="Only these phases.", case_sensitive=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 20,
    before: Annotated[
        str | None, typer.Option(help="Received before this instant, as 2026-03-01T09:00:00Z: the next page.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Rollouts, newest first."""
    if of and customer and of != customer:
        raise typer.BadParameter(f"two customers are named, {of} and {customer}: name one")
    asked: Parameters = {"limit": limit}
    if of or customer:
        asked["customer"] = of or customer or ""
    if phase:
        asked["phase"] = [each.value for each in phase]
    if before:
        asked["before"] = _instant(before)
    page = _client().get(RolloutPage, "rollouts", asked)
    if as_json:
        print(page.model_dump_json(indent=1))
    else:
        oncall_words.rollouts(page, SystemClock())


def _instant(text: str) -> str:
    try:
        # A time without a zone is one of this machine's.
        return datetime.fromisoformat(text).astimezone().isoformat()
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time: write it as 2026-03-01T09:00:00Z") from error


def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they come.")] = False,
    after: Annotated[int, typer.Option(min=0, help="Only later than this sequence.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many of the newest.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Events: signups, rollouts' transitions, restarts, freezes."""
    client = _client()
    page = client.get(EventPage, "events", {"after": after, "limit": limit})
    told = partial(oncall_words.event, now=SystemClock().now())
    show: Callable[..., None] = (lambda found: print(found.model_dump_json())) if as_json else told
    for found in page.items:
        show(found)
    if not page.items and not follow and not as_json:
        print("No events yet. `roost signup ua` makes the first.")
    try:
        last = page.last_sequence
        while follow:
            for found in client.follow(last):
                show(found)
                last = found.sequence
    except KeyboardInterrupt:
        return


def why(customer: Customer, model: Model = DEFAULT_MODEL, as_json: AsJson = False) -> None:
    """One walk through event, run, artifact, canary, generation and each replica; and what to do next."""
    answer = _client().get(WhyAnswer, f"why/{_path(customer)}", {"model": model})
    if as_json:
        print(answer.model_dump_json(indent=1))
    else:
        oncall_words.why(answer, SystemClock().now())


def _on_rollout(command: Command, text: str) -> Callable[..., None]:
    def act(  # noqa: PLR0913, PLR0917 (each is one option)
        reason: Reason,
        customer: Target = None,
        model: Model = DEFAULT_MODEL,
        rollout: Rollout = None,
        actor: Actor = None,
        wait: Wait = 15,
        as_json: AsJson = False,
    ) -> None:
        if customer is None and rollout is None:
            raise typer.BadParameter("name a customer, or a rollout by --rollout")
        target: dict[str, object] = {"customer": customer, "model": model, "rollout_id": rollout}
        _send(command, target, _Asking(reason=reason, actor=actor, wait=wait, as_json=as_json))

    act.__doc__ = text
    return act


def _on_scope(command: Command, text: str) -> Callable[..., None]:
    def act(
        reason: Reason, customer: Scope = None, actor: Actor = None, wait: Wait = 15, as_json: AsJson = False
    ) -> None:
        _send(command, {"customer": customer}, _Asking(reason=reason, actor=actor, wait=wait, as_json=as_json))

    act.__doc__ = text
    return act


def _on_steps(command: Command, text: str) -> Callable[..., None]:
    def act(
        reason: Reason,
        customer: Scope = None,
        rollout: Annotated[str | None, typer.Option(help="Only this rollout.")] = None,
        actor: Actor = None,
        wait: Wait = 15,
        as_json: AsJson = False,
    ) -> None:
        target: dict[str, object] = {"customer": customer, "rollout_id": rollout}
        _send(command, target, _Asking(reason=reason, actor=actor, wait=wait, as_json=as_json))

    act.__doc__ = text
    return act


def release(  # noqa: PLR0913, PLR0917 (each is one option)
    reason: Reason,
    customer: Target = None,
    model: Model = DEFAULT_MODEL,
    digest: Annotated[str | None, typer.Option(help="sha256:…, where several are quarantined.")] = None,
    actor: Actor = None,
    wait: Wait = 15,
    as_json: AsJson = False,
) -> None:
    """Take an artifact out of quarantine: a rollback may return to it, a halted rollout of it may go on.

    What was rolled back does not start over: to deploy again, train again.
    """
    if customer is None and digest is None:
        raise typer.BadParameter("name a customer, or a digest by --digest")
    target: dict[str, object] = {"customer": customer, "model": model, "digest": digest}
    _send(Command.RELEASE, target, _Asking(reason=reason, actor=actor, wait=wait, as_json=as_json))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """What every command carries."""

    reason: str
    actor: str | None
    wait: float
    as_json: bool


def _send(command: Command, target: dict[str, object], asking: _Asking) -> None:
    clock = SystemClock()
    started = clock.monotonic()
    body = {name: value for name, value in target.items() if value is not None}
    body |= {"command": command.value, "reason": asking.reason, "actor": asking.actor or operator()}
    client = _client()
    try:
        found = client.post(CommandView, "commands", body, key=str(uuid.uuid4()), wait=asking.wait)
    except KeyboardInterrupt:
        print(
            "no longer waited for: what the console had taken is done all the same, see `roost events`", file=sys.stderr
        )
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if asking.as_json:
        print(found.model_dump_json(indent=1))
    else:
        oncall_words.command(found, clock.monotonic() - started)
    if found.done_at is None:
        raise typer.Exit(EXIT_OPEN)
    if found.done is False:
        raise typer.Exit(EXIT_REFUSED)
    if found.rollout_id is not None and not asking.as_json:
        _follow(client, found.rollout_id, clock, started + asking.wait, started)


def _follow(client: ConsoleClient, rollout_id: str, clock: Clock, end: float, started: float) -> None:
    """Say where the rollout got to: a promotion or a rollback goes on for a moment after the command is done."""
    while True:
        row = client.get(RolloutDetail, f"rollouts/{_path(rollout_id)}").rollout
        moving = row.phase in {Phase.PROMOTING, Phase.ROLLING_BACK}
        if not moving or clock.monotonic() >= end:
            oncall_words.arrived(row, clock.monotonic() - started)
            if moving:
                raise typer.Exit(EXIT_OPEN)
            return
        clock.wait(_LOOK_SECONDS)


def _client() -> ConsoleClient:
    return ConsoleClient(settings.load().console)


def _path(part: str) -> str:
    # Only an id may become a part of an address; the console says what is wrong with any other.
    if "/" in part or "?" in part or "#" in part or part in {"", ".", ".."}:
        raise Permanent(f"{part!r} is not a customer id: use a-z, 0-9 and '-'")
    return part


_COMMANDS: Final[dict[str, Callable[..., None]]] = {
    "rollouts": rollouts,
    "events": events,
    "why": why,
    "approve": _on_rollout(Command.APPROVE, "Let a rollout that waits go on."),
    "reject": _on_rollout(
        Command.REJECT, "End a rollout that waits; with --rollout, also the serving of a version with none before it."
    ),
    "rollback": _on_rollout(
        Command.ROLLBACK, "Flip back to the previous version, and refuse this artifact from then on."
    ),
    "promote": _on_rollout(Command.PROMOTE, "Let a waiting or halted rollout go on, whatever is frozen."),
    "retry": _on_rollout(Command.RETRY, "Try a halted rollout's last step again."),
    "release": release,
    "freeze": _on_scope(Command.FREEZE, "Promote nothing until the thaw; what is live stays live."),
    "thaw": _on_scope(Command.THAW, "End a freeze."),
    "pause": _on_steps(Command.PAUSE, "Take no rollout to the canary until the resume."),
    "resume": _on_steps(Command.RESUME, "End a pause."),
}
