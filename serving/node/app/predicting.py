"""One request from its bytes to its answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import pydantic_core
from pydantic import Field, ValidationError

from roost.adapters.tf_serving import Answer
from roost.contracts.desired import STABLE
from roost.contracts.errors import ModelServerUnavailable, Permanent
from roost.contracts.policy import PredictionPolicy
from roost.ports.serving import Tensors
from serving.node.app.catalogue import Catalogue, ServedVersion, Target, Wanted
from serving.node.app.checking import Checked
from serving.node.app.findings import Findings
from serving.node.app.forms import AnsweredBy, PredictionAnswer, PredictionRequest, ProblemKind
from serving.node.app.labelling import NotPerRow, predictions
from serving.node.app.refusing import Refused
from serving.node.app.rules import RuleBook
from serving.node.app.upstream import Upstream

#: How often a request follows a label that moves under it.
_FOLLOWED: Final = 3


class Tap(Protocol):
    """Takes what was asked, for the canary."""

    def offer(self, wanted: Wanted, served: ServedVersion, inputs: Tensors) -> None:
        """Record it, perhaps. Never waits and never fails."""


class AnyRows(PredictionRequest):
    """The request before its rows are looked at: what is no row is then named with its place."""

    rows: list[Any] = Field(min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it came."""

    wanted: Wanted
    request: AnyRows


class Predictions:
    """Answers requests. Safe for threads."""

    def __init__(self, catalogue: Catalogue, upstream: Upstream, book: RuleBook, tap: Tap) -> None:
        self._catalogue = catalogue
        self._upstream = upstream
        self._book = book
        self._tap = tap

    def answer(self, asked: Asked, request_id: str) -> PredictionAnswer:
        """The whole answer.

        Raises:
            Refused: with HTTP's status, the reason, and every problem of the rows.
        """
        wanted, request = asked.wanted, asked.request
        policy = self._book.rules(wanted.customer).predictions
        _check_size(len(request.rows), policy)
        target, checked, answer = self._asked(wanted, request.rows, policy)
        served = target.served
        try:
            found, unusual = predictions(served.outputs, answer.outputs, len(request.rows))
        except NotPerRow as error:
            text = f"{served.name} does not answer row by row ({error}): ask it at /v1/models/{served.name}:predict"
            raise Refused(422, text) from error
        if target.label == STABLE:
            self._tap.offer(wanted, served, checked.inputs)
        return PredictionAnswer(
            request_id=request_id,
            model=AnsweredBy(
                name=served.name,
                version=served.version,
                label=target.label,
                own=target.cohort is None,
                cohort=target.cohort,
                trained_on=served.trained_on,
            ),
            predictions=found,
            warnings=[*checked.warnings.problems, *unusual.problems],
        )

    def _asked(self, wanted: Wanted, rows: list[Any], policy: PredictionPolicy) -> tuple[Target, Checked, Answer]:
        """An answer, and the manifest of the very version that gave it.

        A label may move between the look at it and the answer. The answer says which version gave it: where that is
        another one than the rows were checked for, they are checked for that one, and it is asked by its number.
        """
        target = self._catalogue.find(wanted, policy)
        for _ in range(_FOLLOWED):
            served = target.served
            try:
                checked, answer = self._once(target, rows)
            except Refused as refused:
                fresh = self._catalogue.find(wanted, policy)
                # What the answer itself has named is newer than what the node says of itself.
                if fresh.served is served or (target.exact and refused.status == 422):
                    raise
                target = fresh
                continue
            if answer.version == served.version:
                return target, checked, answer
            target = replace(target, served=self._catalogue.at(served.name, answer.version), exact=True)
        raise Refused(503, f"{wanted.customer}.{wanted.model} changes too often to be followed: ask again")

    def _once(self, target: Target, rows: list[Any]) -> tuple[Checked, Answer]:
        served = target.served
        checked = served.checker.check(rows)
        if checked.problems:
            raise _unfit(served, checked.problems)
        version = served.version if target.exact else None
        try:
            return checked, self._upstream.predict(served.name, checked.inputs, version=version)
        except ModelServerUnavailable as error:
            raise Refused(503, f"the model server does not answer: {error}") from error
        except Permanent as error:
            raise Refused(400, f"{served.name} version {served.version} refuses the rows: {error}") from error


def parsed(body: bytes) -> AnyRows:
    """The request in these bytes. NaN and Infinity are read, and judged with their row.

    Raises:
        Refused: it is not JSON, or not of the form; saying where.
    """
    try:
        document = pydantic_core.from_json(body)
    except ValueError as error:
        raise Refused(400, f"the body is not JSON: {error}") from error
    try:
        return AnyRows.model_validate(document)
    except ValidationError as error:
        findings = Findings()
        for entry in error.errors(include_url=False, include_input=False, include_context=False):
            where = ".".join(str(part) for part in entry["loc"]) or "the body"
            findings.add(None, where, ProblemKind.REQUEST, f"is not of the form: {entry['msg']}")
        raise Refused(400, f"the request is not of the form: {findings.problems[0].message}", findings) from error


def _check_size(rows: int, policy: PredictionPolicy) -> None:
    if rows > policy.max_rows:
        findings = Findings()
        findings.add(None, "rows", ProblemKind.REQUEST, f"holds {rows} rows, and {policy.max_rows} are taken at a time")
        raise Refused(422, findings.problems[0].message, findings)


def _unfit(served: ServedVersion, problems: Findings) -> Refused:
    found = problems.problems
    more = "at least " if problems.more else ""
    rest = f" (and {more}{len(found) - 1} more)" if len(found) > 1 else ""
    return Refused(
        422, f"{served.name} version {served.version} cannot take the rows: {found[0].message}{rest}", problems
    )
