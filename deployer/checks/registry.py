"""The registry of checks, in the order they run. A new check is one file and one line here."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final

from deployer.checks.copies import CopiesCheck
from deployer.checks.golden import GoldenCheck
from deployer.checks.load import LoadCheck
from deployer.checks.sanity import SanityCheck
from deployer.checks.signature import SignatureCheck
from deployer.checks.subject import CanaryCheck, CanarySubject, Interrupted
from roost.contracts.verdict import CheckResult, Outcome, Verdict
from roost.contracts.wording import keepable
from roost.telemetry import tracing

log = logging.getLogger(__name__)

REGISTRY: Final[tuple[CanaryCheck, ...]] = (
    LoadCheck(),
    SignatureCheck(),
    GoldenCheck(),
    SanityCheck(),
    CopiesCheck(),
)
#: They run only where a policy names them: they touch what customers ask.
OFF_BY_DEFAULT: Final = frozenset({CopiesCheck.name})


def run(subject: CanarySubject, *, monotonic: Callable[[], float]) -> Verdict:
    """Run the checks that the policy names, in the registry's order. The first FAIL ends the canary.

    A check that the policy names and nobody knows is INCONCLUSIVE: a typing error never passes for a check.
    """
    enabled = subject.bounds.enabled
    known = {check.name for check in REGISTRY}
    results = [_unknown(name) for name in enabled if name not in known]
    for check in REGISTRY:
        if check.name not in enabled:
            continue
        started = monotonic()
        with tracing.span(f"check {check.name}", tracing.here()) as measured:
            result = _contained(check, subject)
            measured.note(**{"roost.outcome": result.outcome.value, "roost.sentence": result.sentence})
        results.append(_keepable(result, seconds=round(monotonic() - started, 6)))
        if result.outcome is Outcome.FAIL:
            break
    return Verdict.of(tuple(results))


def _contained(check: CanaryCheck, subject: CanarySubject) -> CheckResult:
    """The check's finding; a bug in it is a finding too.

    A check meets whatever customers export. One that it did not foresee (text features, in the first model of all) must
    hold that customer's model for a person, and not stop the deployer for everybody.
    """
    try:
        return check.run(subject)
    except Interrupted:
        raise
    except Exception as error:  # the outcome below is the decision; nothing goes on as if it had passed
        log.exception("check %s failed", check.name, extra={"action": "check_failed", "check": check.name})
        sentence = f"The check itself failed, which is a bug in Roost: {type(error).__name__}: {error}"
        return CheckResult(check=check.name, outcome=Outcome.INCONCLUSIVE, sentence=sentence)


def _keepable(result: CheckResult, *, seconds: float) -> CheckResult:
    """The finding as a database takes it: an estimate beyond all bounds has no JSON; its sentence tells it."""
    estimate = result.estimate if result.estimate is None or math.isfinite(result.estimate) else None
    sentence = keepable(result.sentence)
    return result.model_copy(update={"seconds": seconds, "sentence": sentence, "estimate": estimate})


def _unknown(name: str) -> CheckResult:
    known = ", ".join(check.name for check in REGISTRY)
    sentence = f"The policy names a check {name!r} that does not exist; known are {known}."
    return CheckResult(check=name, outcome=Outcome.INCONCLUSIVE, sentence=sentence)
