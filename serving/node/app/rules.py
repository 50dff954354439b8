"""The policy as the node asks for it: by customer, at the rate of requests."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from roost.contracts.policy import Policy, Rules

_KEPT: Final = 10_000


class RuleBook:
    """Rules by customer. Safe for threads."""

    def __init__(self, policy: Policy) -> None:
        self._named = policy.named_customers()
        self._everybody = policy.rules_for("")
        self._special = lru_cache(maxsize=_KEPT)(policy.rules_for)
        rules = [self._everybody, *(policy.rules_for(customer) for customer in sorted(self._named))]
        #: The highest share of requests that is recorded of anybody: what the gateway copies to the node.
        self.highest_rate = max(rule.taps.rate for rule in rules)

    def rules(self, customer: str) -> Rules:
        """What holds for that customer."""
        return self._special(customer) if customer in self._named else self._everybody
