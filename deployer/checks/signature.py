"""Signature: does it offer what its manifest declares, and what clients of the live version rely on?"""

from __future__ import annotations

from typing import Final

import numpy as np

from deployer.checks.subject import CanarySubject, inputs_digest
from deployer.checks.tensors import CannotAsk, dtype_of, golden_inputs
from deployer.domain import compatibility
from roost.contracts.errors import ModelServerUnavailable, Permanent
from roost.contracts.manifest import GoldenCase, SignatureSpec
from roost.contracts.verdict import CheckResult, Outcome
from roost.ports.serving import Tensors


class SignatureCheck:
    """Asks the running model one recorded request and compares what comes with what is declared."""

    name: Final = "signature"

    def run(self, subject: CanarySubject) -> CheckResult:
        """FAIL where a client of the live version, or one that believes the manifest, would break."""
        if subject.live is not None:
            broken = compatibility.breaks(subject.live, subject.manifest)
            if broken is not None:
                return CheckResult(check=self.name, outcome=Outcome.FAIL, sentence=broken)
        if not subject.golden:
            return self._unknown("No request is recorded, so the running signature is unknown.")
        case = subject.golden[0]
        declared = subject.manifest.signature(case.signature)
        if declared is None:
            sentence = f"The recorded request names signature {case.signature!r}, which the manifest does not declare."
            return CheckResult(check=self.name, outcome=Outcome.FAIL, sentence=sentence)
        return self._asked(subject, case, declared)

    def _asked(self, subject: CanarySubject, case: GoldenCase, declared: SignatureSpec) -> CheckResult:
        try:
            outputs = subject.ask(golden_inputs(case, declared), case.signature)
        except CannotAsk as error:
            return self._unknown(f"The recorded request cannot be sent: {error}.")
        except ModelServerUnavailable as error:
            return self._unknown(f"The canary did not answer: {error}.")
        except Permanent as error:
            sentence = f"The model refuses a request of its own declared signature: {error}."
            return CheckResult(check=self.name, outcome=Outcome.FAIL, sentence=sentence, n=1)
        wrong = _differs(outputs, declared)
        compared = "live version's and the manifest's" if subject.live else "manifest's"
        return CheckResult(
            check=self.name,
            outcome=Outcome.FAIL if wrong else Outcome.PASS,
            sentence=wrong or f"Inputs, outputs and types are the {compared} own.",
            n=1,
            inputs_digest=inputs_digest([case]),
        )

    def _unknown(self, sentence: str) -> CheckResult:
        return CheckResult(check=self.name, outcome=Outcome.INCONCLUSIVE, sentence=sentence)


def _differs(outputs: Tensors, declared: SignatureSpec) -> str | None:
    for spec in declared.outputs:
        found = outputs.get(spec.name)
        if found is None:
            return f"Output {spec.name!r} is declared, and the answer has none."
        try:
            wanted = dtype_of(spec.dtype)
        except CannotAsk as error:
            return f"Output {spec.name!r} cannot be served: {error}."
        actual = np.asarray(found)
        if actual.dtype.kind not in "SUO" and actual.dtype != wanted:
            return f"Output {spec.name!r} is declared {spec.dtype}, and the answer is {actual.dtype}."
        if spec.shape is not None and not _fits(actual.shape, spec.shape):
            return f"Output {spec.name!r} is declared {list(spec.shape)}, and the answer is {list(actual.shape)}."
    return None


def _fits(actual: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    sizes = zip(actual, declared, strict=False)
    return len(actual) == len(declared) and all(size < 0 or size == found for found, size in sizes)
