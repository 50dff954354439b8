"""Rigour: the official server's hazards, each behind a switch, so that a deployer is tested against the worst of them.

By default the drop-in is as dangerous as the official server wherever a client can tell, and quicker or kinder where
nothing is lost by it. A switch takes one such kindness away. There is no such flag in the official server.
"""

import enum

_ALL = "all"


class Hazard(enum.StrEnum):
    """What the official server does and the drop-in by default does not."""

    #: The manager acts once in 100 ms, and begins one load or one unload then: ten a second, also at the start.
    MANAGER_TICK = "manager_tick"
    #: A reload does not look at the disk: what it brings is found at the next poll.
    POLL_ON_INTERVAL = "poll_on_interval"
    #: A reload whose client gave up while it waited for its turn is applied all the same, when the turn comes.
    ABANDONED_RELOADS = "abandoned_reloads"
    #: A name that is taken out and put back at once fails its reload when its old version ends its orderly unload.
    ENDED_IS_FAILURE = "ended_is_failure"
    #: With `--enable_batching`, requests of different shapes or dtypes that come together fail each other.
    MIXED_BATCHES = "mixed_batches"
    #: What a version took stays with the process when it is unloaded: only a restart gives it back.
    KEPT_MEMORY = "kept_memory"
    #: SIGTERM ends the process at once, and the requests under way with it.
    NO_DRAIN = "no_drain"


class UnknownHazard(ValueError):
    """A switch that there is none of; the message lists those that there are."""


def hazards(flag: str) -> frozenset[Hazard]:
    """Return the switches that `--rigour` names: words by commas, or `all`. Raises UnknownHazard."""
    found: set[Hazard] = set()
    for word in filter(None, (part.strip() for part in flag.split(","))):
        if word == _ALL:
            found.update(Hazard)
            continue
        try:
            found.add(Hazard(word))
        except ValueError as error:
            raise UnknownHazard(f"--rigour: there is no {word}; there are {', '.join((*Hazard, _ALL))}") from error
    return frozenset(found)
