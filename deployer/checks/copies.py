"""Copies: live requests are copied to the candidate, whose answers nobody gets; does it fail, or take longer?"""

from __future__ import annotations

from typing import Final

from deployer.checks.shares import bounds
from deployer.checks.subject import CanarySubject, Copies
from roost.contracts.errors import ModelServerUnavailable, NodeUnavailable
from roost.contracts.policy import CopyBounds
from roost.contracts.verdict import CheckResult, Outcome

#: Of the requests, so many must be answered as fast as the limit says.
_FAST: Final = 0.95


class CopiesCheck:
    """Compares what the model servers counted: the candidate's on copies, the live ones' on the requests themselves."""

    name: Final = "copies"

    def run(self, subject: CanarySubject) -> CheckResult:
        """FAIL where it is shown to fail or to be slow beyond the policy; PASS only where it is shown not to."""
        if subject.copies is None:
            return self._unknown(
                "There is no live version whose requests could be copied, or no node that has the candidate."
            )
        limits = subject.bounds.copies
        try:
            copies = subject.copies(limits)
        except (NodeUnavailable, ModelServerUnavailable) as error:
            return self._unknown(f"Live requests could not be copied: {error}.")
        count = copies.candidate.total
        if not count or not copies.live.total:
            return self._unknown(f"No live request was copied within {limits.seconds:g} s.")
        failing = self._failing(copies, limits)
        slow = self._slow(copies, limits)
        for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE):
            for found in (failing, slow):
                if found.outcome is outcome:
                    return found
        if count < limits.minimum_requests:
            sentence = f"Only {count} live requests were copied; the policy wants {limits.minimum_requests}."
            return failing.model_copy(update={"outcome": Outcome.INCONCLUSIVE, "sentence": sentence})
        return failing.model_copy(update={"sentence": f"{failing.sentence[:-1]}; {slow.sentence}"})

    def _failing(self, copies: Copies, limits: CopyBounds) -> CheckResult:
        candidate, live = copies.candidate, copies.live
        limit = min(1.0, live.failed / live.total + limits.error_percent / 100)
        worst = ", ".join(sorted(status for status, count in candidate.ended.items() if count and status != "OK"))
        named = f" ({worst})" if worst else ""
        what = (
            f"{candidate.failed} of {candidate.total} copied requests failed{named}, {live.failed} of {live.total} live"
        )
        return self._judged("error_share", what, candidate.failed, of=candidate.total, limit=limit)

    def _slow(self, copies: Copies, limits: CopyBounds) -> CheckResult:
        usual = copies.live.within(_FAST)
        if usual is None:
            return self._unknown("No live request was timed, so nothing says how long one may take.")
        seconds = max(limits.floor_seconds, limits.slower * usual)
        count, timed = copies.candidate.slower(seconds), copies.candidate.timed
        what = f"{count} of {timed} took longer than {seconds * 1000:.3g} ms"
        return self._judged("slow_share", what, count, of=timed, limit=1 - _FAST)

    def _judged(self, statistic: str, what: str, seen: int, *, of: int, limit: float) -> CheckResult:
        lower, upper = bounds(seen, of)
        if lower > limit:
            outcome, sentence = Outcome.FAIL, f"{what}: more than the {limit:.2%} that the policy allows."
        elif upper > limit:
            outcome, sentence = Outcome.INCONCLUSIVE, f"{what}: too few to tell whether that is below {limit:.2%}."
        else:
            outcome, sentence = Outcome.PASS, f"{what}."
        return CheckResult(
            check=self.name,
            outcome=outcome,
            sentence=sentence[:1].upper() + sentence[1:],
            statistic=statistic,
            estimate=seen / of if of else None,
            interval=(lower, upper),
            threshold=limit,
            n=of,
        )

    def _unknown(self, sentence: str) -> CheckResult:
        return CheckResult(check=self.name, outcome=Outcome.INCONCLUSIVE, sentence=sentence)
