"""The REST API under ``/api/v1``: reading, commands, the event stream. Described at ``/api/openapi.json``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from deployer.console import fleet_views, stream, views
from deployer.console.access import Caller
from deployer.console.desk import CommandRequest, Desk
from deployer.console.feed import Feed
from deployer.console.problems import MEDIA_TYPE
from deployer.console.reader import Reader
from deployer.console.why.answer import WhyAnswer
from roost.contracts.ids import DEFAULT_MODEL, CustomerId, ModelId, PoolId, RunId
from roost.contracts.rollout import Phase
from roost.contracts.trace_context import trace_id
from roost.ports.ledger import RolloutQuery
from roost.telemetry import tracing

Customer = Annotated[CustomerId, Query(description="Customer id.")]
Limit = Annotated[int, Query(ge=1, le=500)]
#: What every address may answer beside its own shape.
PROBLEMS: dict[int | str, dict[str, object]] = {
    status: {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for status, text in (
        (401, "Sign in"),
        (403, "Not allowed"),
        (404, "Not found"),
        (422, "Invalid request"),
        (503, "A part does not answer"),
    )
}


def build(reader: Reader, desk: Desk, feed: Feed) -> APIRouter:
    """All routes of the API."""
    router = APIRouter(prefix="/api/v1", responses=PROBLEMS)
    _rollouts(router, reader)
    _customers(router, reader)
    _events(router, reader, feed)
    _commands(router, reader, desk)
    return router


def _rollouts(router: APIRouter, reader: Reader) -> None:
    @router.get("/rollouts", tags=["rollouts"], summary="Rollouts, newest first")
    def rollouts(  # noqa: PLR0913, PLR0917 (each is one query parameter)
        customer: Customer | None = None,
        model: ModelId | None = None,
        phase: Annotated[list[Phase] | None, Query(description="Any of these.")] = None,
        pool: PoolId | None = None,
        run_id: RunId | None = None,
        limit: Limit = 50,
        before: Annotated[AwareDatetime | None, Query(description="`next_before` of the page before.")] = None,
    ) -> views.RolloutPage:
        phases = frozenset(phase) if phase else None
        query = RolloutQuery(
            customer=customer, model=model, phases=phases, pool=pool, run_id=run_id, limit=limit, before=before
        )
        return reader.rollouts(query)

    @router.get("/rollouts/{rollout_id}", tags=["rollouts"], summary="One rollout: history, verdict, replicas")
    def rollout(rollout_id: str) -> views.RolloutDetail:
        return reader.rollout(rollout_id)

    @router.get("/quarantines", tags=["rollouts"], summary="Digests that are refused")
    def quarantines() -> Sequence[views.QuarantineView]:
        return reader.quarantines()

    @router.get("/freezes", tags=["rollouts"], summary="Freezes that stand")
    def freezes() -> Sequence[views.FreezeView]:
        return reader.freezes()


def _customers(router: APIRouter, reader: Reader) -> None:
    @router.get("/customers/{customer}", tags=["customers"], summary="Onboarding and what serves them")
    def customer(customer: str) -> views.CustomerView:
        return reader.customer(customer)

    @router.get("/why/{customer}", tags=["customers"], summary="From event to each replica, in plain words")
    def why(customer: str, model: ModelId = DEFAULT_MODEL) -> WhyAnswer:
        return reader.why(customer, model)

    @router.get("/fleet", tags=["fleet"], summary="Pools, nodes and the generation of each")
    def fleet() -> fleet_views.FleetView:
        return reader.fleet()


def _events(router: APIRouter, reader: Reader, feed: Feed) -> None:
    @router.get("/events", tags=["events"], summary="Newest events, oldest first")
    def events(after: Annotated[int, Query(ge=0)] = 0, limit: Limit = 100) -> views.EventPage:
        return reader.events(after=after, limit=limit)

    @router.get(
        "/events/stream",
        tags=["events"],
        summary="Events as they come (server-sent events)",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}, "description": "One `data:` line per EventView."}},
    )
    async def follow(
        after: Annotated[int, Query(ge=0)] = 0,
        last_event_id: Annotated[int | None, Header(ge=0, description="Sent by a browser that connects again.")] = None,
    ) -> StreamingResponse:
        lines: AsyncIterator[str] = stream.follow(reader, feed, last_event_id if last_event_id is not None else after)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(lines, media_type="text/event-stream", headers=headers)


def _commands(router: APIRouter, reader: Reader, desk: Desk) -> None:
    @router.post("/commands", tags=["commands"], status_code=202, summary="Approve, reject, roll back, freeze …")
    async def submit(
        asked: CommandRequest,
        request: Request,
        response: Response,
        wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for the outcome.")] = 0,
        idempotency_key: Annotated[str | None, Header(pattern=r"^[A-Za-z0-9._-]{8,100}$")] = None,
        traceparent: Annotated[str | None, Header(description="W3C trace context, passed on.")] = None,
    ) -> views.CommandView:
        """202: accepted. 200: done, with its outcome."""
        caller: Caller = request.state.caller
        with tracing.bound(traceparent if trace_id(traceparent) else None):
            taken = await asyncio.to_thread(desk.submit, caller, asked, idempotency_key)
        if wait and taken.done_at is None:
            taken = await desk.outcome(taken.event_id, taken, wait)
        response.status_code = 202 if taken.done_at is None else 200
        return taken

    @router.get("/commands", tags=["commands"], summary="The audit list, newest first")
    def commands(limit: Limit = 100) -> Sequence[views.CommandView]:
        return reader.commands(limit)
