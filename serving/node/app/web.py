"""The page over HTTP, and its description. Behind the gateway, which has asked for the token already."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

from fastapi import FastAPI, Path, Request, Response, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException

from roost import __version__
from roost.contracts.ids import ID_PATTERN, MAX_VERSION
from roost.ports.clock import Clock
from roost.telemetry import metrics
from serving.node.app.catalogue import Wanted
from serving.node.app.forms import PredictionAnswer, PredictionRequest, Refusal, RequestId
from serving.node.app.predicting import Asked, Predictions, parsed
from serving.node.app.refusing import Refused

log = logging.getLogger(__name__)

#: The gateway gives each answer an `x-request-id` of its own; this one is the caller's.
REQUEST_ID_HEADER: Final = "x-roost-request-id"
#: As the gateway says and takes them for the model server's own API.
LABEL_HEADER: Final = "x-roost-label"
KEY_HEADER: Final = "x-roost-key"
_ABOUT: Final = """\
Rows of named features in, labelled answers out. The model's manifest declares its inputs; all that is wrong with a
request is said at once, by row and field. A customer without a model of their own yet is answered by the default of
their cohort, and the answer says so. TensorFlow Serving's own API stands beside this page, at `/v1/models/…`.
"""
#: So that Swagger asks for it. The gateway has checked it, and takes it away.
_TOKEN: Final = Security(
    HTTPBearer(auto_error=False, scheme_name="token", description="Where the gateway asks for tokens.")
)
_KEY: Final = {
    "name": KEY_HEADER,
    "in": "header",
    "required": False,
    "description": "While two versions share the requests, the same key always has the same one. Any text.",
    "schema": {"type": "string"},
}
_REQUEST_IDS: Final = TypeAdapter[str](RequestId)
_REFUSALS: Final = {
    400: "Not JSON, not of the form, or refused by the model.",
    401: "No sound token (said by the gateway).",
    403: "The token does not open this customer, or not that version or label (said by the gateway).",
    404: "No model here, and no default of a cohort.",
    413: "The body is too large (said by the gateway).",
    422: "Rows that the model cannot take: each problem with its row and field.",
    503: "The model server is away for the moment: ask again.",
}

Customer = Annotated[str, Path(pattern=ID_PATTERN, description="Customer id.", examples=["ua"])]
Model = Annotated[str, Path(pattern=ID_PATTERN, description="Model id.", examples=["default"])]
Version = Annotated[int, Path(ge=1, le=MAX_VERSION, description="Version of the model.")]
Label = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,100}$", description="Label of a version.")]
_Page = TypeVar("_Page", bound=Callable[..., object])


def make_app(service: Predictions, clock: Clock) -> FastAPI:
    """The application."""
    # Swagger's script and style come from the wheel `fastapi-offline`: no page of ours loads anything from elsewhere.
    app: FastAPI = FastAPIOffline(
        title="Roost predictions",
        version=__version__,
        description=_ABOUT,
        openapi_url="/v1/openapi.json",
        docs_url="/v1/docs",
        redoc_url=None,
        static_url="/v1/docs-assets",
    )
    _add_predictions(app, _Desk(service, clock))
    _refuse_in_one_form(app)
    return app


def _add_predictions(app: FastAPI, desk: _Desk) -> None:
    def post(chosen: str, summary: str) -> Callable[[_Page], _Page]:
        return app.post(
            f"/v1/customers/{{customer}}/models/{{model}}{chosen}:predict",
            summary=summary,
            response_model=PredictionAnswer,
            responses={status: {"model": Refusal, "description": text} for status, text in _REFUSALS.items()},
            openapi_extra={"requestBody": _described(PredictionRequest)} | ({} if chosen else {"parameters": [_KEY]}),
            dependencies=[_TOKEN],
        )

    async def reply(wanted: Wanted, request: Request) -> Response:
        body = await request.body()
        given = request.headers.get("x-request-id")
        # Checks and the wait for the model server: neither may hold up the loop.
        return await run_in_threadpool(desk.reply, wanted, body=body, given=given)

    @post("", "Predict rows")
    async def predict(customer: Customer, model: Model, request: Request) -> Response:
        """One prediction a row, by the stable version of the customer's model.

        While a share of the requests is with another version, the same `x-roost-key` always has the same one.
        """
        return await reply(Wanted(customer=customer, model=model, key=_key(request)), request)

    @post("/versions/{version}", "Predict rows by a version")
    async def predict_by_version(customer: Customer, model: Model, version: Version, request: Request) -> Response:
        """The same by that version, where the caller may choose it."""
        return await reply(Wanted(customer=customer, model=model, version=version), request)

    @post("/labels/{label}", "Predict rows by a label")
    async def predict_by_label(customer: Customer, model: Model, label: Label, request: Request) -> Response:
        """The same by the version that this label names, where the caller may choose it."""
        return await reply(Wanted(customer=customer, model=model, label=label), request)


def _refuse_in_one_form(app: FastAPI) -> None:
    def given(request: Request) -> str:
        return _request_id(request.headers.get("x-request-id"))

    @app.exception_handler(RequestValidationError)
    async def no_such_id(request: Request, error: RequestValidationError) -> Response:
        words = "; ".join(f"{entry['loc'][-1]}: {entry['msg']}" for entry in error.errors())
        return _refusal(Refused(400, words), given(request))

    @app.exception_handler(HTTPException)
    async def no_such_page(request: Request, error: HTTPException) -> Response:
        return _refusal(Refused(error.status_code, str(error.detail)), given(request))

    @app.exception_handler(Exception)
    async def bug(request: Request, _: Exception) -> Response:
        # The server logs it with its traceback; the caller learns by which id to ask.
        return _refusal(Refused(500, "this request met a fault of the node: report its id"), given(request))


class _Desk:
    """Turns bytes into an answer or a refusal, and says so in one line of the log. Safe for threads."""

    def __init__(self, service: Predictions, clock: Clock) -> None:
        self._service = service
        self._clock = clock

    def reply(self, wanted: Wanted, *, body: bytes, given: str | None) -> Response:
        started = self._clock.monotonic()
        request_id = _request_id(given)
        facts: dict[str, object] = {"action": "predict", "customer": wanted.customer, "model": wanted.model}
        try:
            request = parsed(body)
            request_id = request.request_id or request_id
            facts["rows"] = len(request.rows)
            answer = self._service.answer(Asked(wanted=wanted, request=request), request_id)
        except Refused as refused:
            status, why = refused.status, str(refused)
            response = _refusal(refused, request_id)
        else:
            status, why = 200, answer.model.name
            facts["version"] = answer.model.version
            response = _json(200, answer, request_id)
            if answer.model.label is not None:
                response.headers[LABEL_HEADER] = answer.model.label
        seconds = self._clock.monotonic() - started
        metrics.APP_SECONDS.labels(status=str(status)).observe(seconds)
        # The reason may quote what the caller sent, and a log outlives what a recording drops: only its kind is logged.
        outcome = "answered by " + why if status == 200 else f"refused with {status}"
        facts |= {"status": status, "request_id": request_id, "gateway_request_id": given, "seconds": round(seconds, 6)}
        log.info("%s.%s %s", wanted.customer, wanted.model, outcome, extra=facts)
        return response


def _key(request: Request) -> bytes:
    """What keeps a caller with one version; of a request without a key, one that it has to itself."""
    # Several headers are one list, which is how Envoy reads them.
    given = ",".join(request.headers.getlist(KEY_HEADER))
    return given.encode("latin-1") or os.urandom(8)


def _request_id(given: str | None) -> str:
    try:
        return _REQUEST_IDS.validate_python(given)
    except ValidationError:
        return str(uuid.uuid4())


def _refusal(refused: Refused, request_id: str) -> Response:
    body = Refusal(
        error=str(refused),
        request_id=request_id,
        problems=refused.findings.problems,
        more=refused.findings.more,
    )
    response = _json(refused.status, body, request_id)
    if refused.status == 503:
        response.headers["retry-after"] = "1"
    return response


def _json(status: int, body: BaseModel, request_id: str) -> Response:
    return Response(
        body.model_dump_json(),
        status_code=status,
        media_type="application/json",
        headers={REQUEST_ID_HEADER: request_id},
    )


def _described(form: type[BaseModel]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": form.model_json_schema()}}}
