"""Whose rows a customer's model learns from: their own, or, where those are too few, those of customers alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from roost.contracts.policy import Policy
from training.datasets import Dataset
from training.examples import Examples, TrainingRefused, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Rows, and whose they are."""

    examples: Examples
    scope: Literal["own", "cohort"]
    #: Customers whose rows were pooled, the model's own customer first. Empty for ``own``.
    cohort: tuple[str, ...] = ()
    #: Whose columns the rows have.
    schema_of: str


def gather(dataset: Dataset, policy: Policy, customer: str, window: Window | None) -> Gathered:
    """The customer's rows, pooled with those of customers alike where the policy's minimum is not reached.

    Alike is who shares a cohort of the policy with the customer, else who the data set says; only as many are pooled
    as the minimum needs, most alike first. An id that the policy names as `predictions.cohort_default` is nobody with
    rows of their own: its model learns from all the customers that the policy lists and for whom it is the default.

    Raises:
        TrainingRefused: no rows at all, or too few even so, or the policy refuses small customers; saying how many.
    """
    members = _members(policy, customer)
    if members:
        rows = Examples.merged([dataset.load(member, window) for member in members])
        return Gathered(examples=rows, scope="cohort", cohort=members, schema_of=members[0])
    own = dataset.load(customer, window)
    rules = policy.rules_for(customer).training
    if len(own) >= rules.minimum_rows:
        return Gathered(examples=own, scope="own", schema_of=customer)
    what = f"{customer} has {len(own)} rows{_in(window)} and the policy asks for {rules.minimum_rows}"
    if rules.too_few == "refuse":
        raise TrainingRefused(f"{what}: use a longer data window, lower training.minimum_rows, or allow a cohort")
    parts, names = [own], [customer]
    for other in _alike(dataset, policy, customer):
        parts.append(dataset.load(other, window))
        names.append(other)
        if sum(map(len, parts)) >= rules.minimum_rows:
            return Gathered(examples=Examples.merged(parts), scope="cohort", cohort=tuple(names), schema_of=customer)
    with_others = f" (with {', '.join(names[1:])}: {sum(map(len, parts))})" if len(names) > 1 else ""
    raise TrainingRefused(
        f"{what}{with_others}: use a longer data window, lower training.minimum_rows, or list customers alike "
        "under cohorts in the policy"
    )


def _members(policy: Policy, customer: str) -> tuple[str, ...]:
    """For whom `customer` is the cohort's default, as far as the policy lists them."""
    named = sorted(policy.named_customers() - {customer})
    return tuple(name for name in named if policy.rules_for(name).predictions.cohort_default == customer)


def _alike(dataset: Dataset, policy: Policy, customer: str) -> Sequence[str]:
    listed = [name for cohort in policy.cohorts.values() if customer in cohort.customers for name in cohort.customers]
    return [name for name in dict.fromkeys(listed) if name != customer] or dataset.customers_alike(customer)


def _in(window: Window | None) -> str:
    if window is None:
        return ""
    return f" from {window.start:%Y-%m-%d} to {window.end:%Y-%m-%d}"
