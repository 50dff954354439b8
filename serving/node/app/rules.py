"""The policy as the node asks for it: by customer, at the rate of requests."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from roost.contracts.policy import Policy, Rules

_KEPT: Final = 10_000


class _Page:
    """What one policy says."""

    def __init__(self, policy: Policy) -> None:
        self.named = policy.named_customers()
        self.everybody = policy.rules_for("")
        self.special = lru_cache(maxsize=_KEPT)(policy.rules_for)
        rules = [self.everybody, *(policy.rules_for(customer) for customer in sorted(self.named))]
        self.highest_rate = max(rule.taps.rate for rule in rules)


class RuleBook:
    """Rules by customer, of a policy that may be replaced. Safe for threads."""

    def __init__(self, policy: Policy) -> None:
        self._page = _Page(policy)

    def use(self, policy: Policy) -> None:
        """Go by this one from now on."""
        self._page = _Page(policy)

    @property
    def highest_rate(self) -> float:
        """The highest share of requests that is recorded of anybody: what the gateway copies to the node."""
        return self._page.highest_rate

    def rules(self, customer: str) -> Rules:
        """What holds for that customer."""
        page = self._page
        return page.special(customer) if customer in page.named else page.everybody
