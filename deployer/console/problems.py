"""Errors of the REST API: RFC 9457 problem documents, each with a remedy."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from deployer.console.views import Problem
from deployer.console.why.evidence import UnknownCustomer
from roost.contracts.errors import Conflict, DatabaseUnavailable, NotFound, Permanent, Retryable, RoostError
from roost.contracts.ids import ID_PATTERN, InvalidId

MEDIA_TYPE = "application/problem+json"


class Refused(RoostError):
    """A request that this caller may not make, or not in this way."""

    def __init__(self, status: int, title: str, detail: str, remedy: str) -> None:
        """`status` is the HTTP status; the texts are for people."""
        super().__init__(detail)
        self.status, self.title, self.detail, self.remedy = status, title, detail, remedy


_ID_RULE = "Ids are 1 to 63 of a-z, 0-9 and '-', starting with a letter or digit."
_SEE_DOCS = "Change the request; /docs shows what this address takes."
_SPELLING = "Check the spelling (`roost rollouts` lists what is there), or sign them up: `roost signup CUSTOMER`."

#: Error, status, title, remedy. The first that fits counts.
_KNOWN: Sequence[tuple[type[RoostError], int, str, str]] = (
    (InvalidId, 422, "Invalid id", _ID_RULE),
    (UnknownCustomer, 404, "Unknown customer", _SPELLING),
    (NotFound, 404, "Not found", "Check the id; `roost rollouts` lists what is there."),
    (Conflict, 409, "Conflict", "It changed meanwhile: look again, then decide again."),
    (DatabaseUnavailable, 503, "The ledger does not answer", "See whether PostgreSQL is up: `roost status`."),
    (Retryable, 503, "A part does not answer", "Try again in a moment; `roost status` shows which part is down."),
    (Permanent, 422, "Impossible request", "Change the request as the detail says."),
)  # fmt: skip


def document(problem: Problem) -> JSONResponse:
    """The response that carries it."""
    headers = {"Retry-After": "2"} if problem.status == 503 else None
    return JSONResponse(
        problem.model_dump(exclude_none=True), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers
    )


def of(error: RoostError, instance: str | None = None) -> Problem:
    """The problem that an expected error is."""
    if isinstance(error, Refused):
        return _problem(error.status, error.title, error.detail, error.remedy, instance)
    for kind, status, title, remedy in _KNOWN:
        if isinstance(error, kind):
            return _problem(status, title, str(error), remedy, instance)
    return _problem(500, "Error", str(error), "The console's log has more: `roost logs console`.", instance)


def install(app: FastAPI) -> None:
    """Answer every expected error, and every bad request, with a problem document."""

    async def expected(request: Request, error: Exception) -> JSONResponse:
        if not isinstance(error, RoostError):
            raise error
        return document(of(error, request.url.path))

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        if not isinstance(error, RequestValidationError):
            raise error
        found = error.errors()
        first = found[0]
        where = ".".join(str(part) for part in first["loc"] if part not in {"query", "path", "body"}) or "body"
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        text, remedy = str(first["msg"]).removeprefix("Value error, "), _SEE_DOCS
        if first.get("ctx", {}).get("pattern") == ID_PATTERN:
            text, remedy = f"{str(first['input'])[:80]!r} is not valid", _ID_RULE
        detail = f"{where}: {text}{more}"
        return document(_problem(422, "Invalid request", detail, remedy, request.url.path))

    async def http(request: Request, error: Exception) -> JSONResponse:
        if not isinstance(error, HTTPException):
            raise error
        remedy = "See /docs for the addresses there are, and what each takes."
        return document(_problem(error.status_code, str(error.detail), str(error.detail), remedy, request.url.path))

    app.add_exception_handler(RoostError, expected)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def _problem(status: int, title: str, detail: str, remedy: str, instance: str | None) -> Problem:
    name = title.lower().replace(" ", "-")
    return Problem(
        type=f"urn:roost:problem:{name}", title=title, status=status, detail=detail, remedy=remedy, instance=instance
    )
