"""Load: did it become available in time, within its memory?"""

from __future__ import annotations

from typing import Final

from deployer.checks.subject import CanarySubject
from roost.contracts.acks import VersionState
from roost.contracts.verdict import CheckResult, Outcome

_MIB: Final = 2**20


class LoadCheck:
    """Compares the node's own measurement of seconds and memory with the policy's budget."""

    name: Final = "load"

    def run(self, subject: CanarySubject) -> CheckResult:
        """FAIL where it does not load, or beyond a budget; INCONCLUSIVE where no node could tell."""
        entry, bounds = subject.loaded, subject.bounds.load
        if entry is None or entry.state not in {VersionState.PROVEN, VersionState.FAILED}:
            return self._says(Outcome.INCONCLUSIVE, "The canary node did not answer in time, so the load is unknown.")
        if entry.state is VersionState.FAILED:
            return self._says(Outcome.FAIL, f"The model server could not load it: {entry.error or 'no reason given'}")
        if entry.seconds is None:
            return self._says(Outcome.INCONCLUSIVE, "It loaded, and the node does not say how long that took.")
        if entry.seconds > bounds.seconds:
            sentence = f"It took {entry.seconds:.1f} s to load; the policy allows {bounds.seconds:g} s."
            return self._says(Outcome.FAIL, sentence, entry.seconds, bounds.seconds)
        megabytes = None if entry.memory_bytes is None else entry.memory_bytes / _MIB
        if megabytes is not None and megabytes > bounds.memory_mb:
            sentence = f"It took {megabytes:.0f} MB; the policy allows {bounds.memory_mb:g} MB."
            return self._says(Outcome.FAIL, sentence, megabytes, bounds.memory_mb, "memory_mb")
        size = "" if megabytes is None else f", with {megabytes:.0f} MB" if megabytes >= 1 else ", with less than 1 MB"
        sentence = f"It loaded in {entry.seconds:.2f} s{size}."
        return self._says(Outcome.PASS, sentence, entry.seconds, bounds.seconds)

    def _says(
        self,
        outcome: Outcome,
        sentence: str,
        estimate: float | None = None,
        threshold: float | None = None,
        statistic: str = "load_seconds",
    ) -> CheckResult:
        return CheckResult(
            check=self.name,
            outcome=outcome,
            sentence=sentence,
            statistic=None if estimate is None else statistic,
            estimate=estimate,
            threshold=threshold,
            n=None if estimate is None else 1,
        )
