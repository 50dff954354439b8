"""What a person may do about a rollout, in their words. Which commands those are, the deployer's own rule says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from deployer.console.views import ActionView
from deployer.rollout.possible import Possible
from roost.contracts.events import Command
from roost.contracts.rollout import Phase, Rollout

#: "Release" alone reads as if it went out.
_WORDS: Final = {Command.ROLLBACK: "roll back", Command.RELEASE: "release from quarantine"}
_REFUSED: Final = "The artifact is refused until somebody releases it."


def offers(possible: Possible, rollout: Rollout) -> tuple[ActionView, ...]:
    """Every command that the rollout takes now, the likeliest first. Raises `DatabaseUnavailable`."""
    returning = possible.returning(rollout)
    return tuple(
        ActionView(
            command=command,
            words=_words(command, returning),
            effect=_EFFECTS[command](returning),
            rollout_id=rollout.id,
        )
        for command in possible.taken(rollout)
    )


def _words(command: Command, rollout: Rollout) -> str:
    if command is Command.REJECT and rollout.phase in {Phase.LIVE, Phase.SETTLED}:
        return "end serving"
    return _WORDS.get(command, command.value)


def _reject(rollout: Rollout) -> str:
    if rollout.phase in {Phase.LIVE, Phase.SETTLED, Phase.HALTED}:
        return _back(rollout)
    return "It ends here. What answers now goes on answering."


def _back(rollout: Rollout) -> str:
    if rollout.previous_version is None:
        return f"Nothing of {rollout.name} answers afterwards: there is no version before it. {_REFUSED}"
    return f"Version {rollout.previous_version} answers again at once. {_REFUSED}"


def _on(rollout: Rollout) -> str:
    return f"It goes on to every replica of pool {rollout.pool}."


_EFFECTS: Final[Mapping[Command, Callable[[Rollout], str]]] = {
    Command.APPROVE: _on,
    Command.PROMOTE: lambda rollout: f"{_on(rollout)} No freeze holds it.",
    Command.RETRY: lambda _: "The step that failed is tried once more.",
    Command.REJECT: _reject,
    Command.ROLLBACK: _back,
    Command.RELEASE: lambda _: (
        "A rollback may return to it, and a halted rollout of it may go on. To deploy again, train again."
    ),
}
