"""The policy file, looked at now and then: a change is in force at once, and told; a bad one is told, and is not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from deployer.rollout.parts import Parts
from roost.policy_file import PolicyInForce

log = logging.getLogger(__name__)


class PolicyWatch:
    """Looks. Each deployer looks for itself; the event of one content is one, whoever tells of it."""

    def __init__(self, parts: Parts, policy: PolicyInForce, on_change: Sequence[Callable[[], None]] = ()) -> None:
        """`on_change` are called after a change came into force."""
        self._parts = parts
        self._policy = policy
        self._on_change = on_change
        #: What was found and is not told yet: the database was away.
        self._untold: tuple[str, str, str] | None = None

    def step(self) -> None:
        """One look. Raises `DatabaseUnavailable`; what is to be told is told at the next one."""
        found = self._policy.refresh()
        if found is not None and found.fault is None:
            self._untold = ("policy.changed", "The policy file has changed; it is in force.", found.content)
            log.info("the policy has changed", extra={"action": "policy"})
            for changed in self._on_change:
                changed()
        elif found is not None:
            reason = f"The policy file has changed and cannot be used; the one before stays in force. {found.fault}"
            self._untold = ("policy.refused", reason, found.content)
            log.error("%s", reason, extra={"action": "policy_refused"})
        if self._untold is not None:
            what, reason, content = self._untold
            # The same content may come back after another one: each time it does, it is told.
            key = f"{content}/{self._parts.clock.now():%Y-%m-%dT%H:%M}"
            self._parts.ledger.add_events([self._parts.operation(what, reason, key=key)])
            self._untold = None
