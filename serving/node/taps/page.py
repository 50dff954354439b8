"""Where the gateway sends its copies. It drops the answers; no route of its leads a client here."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from serving.node.taps.copies import GRPC_PATH, Copy
from serving.node.taps.recorder import Recorder


def with_taps(page: ASGIApp, recorder: Recorder) -> ASGIApp:
    """The page, with the paths of the copies before it."""

    async def copied(request: Request) -> Response:
        recorder.offer_copy(Copy(path=request.url.path, body=await request.body()))
        return Response(status_code=202)

    copies = [Route(path, copied, methods=["POST"]) for path in ("/v1/models/{rest:path}", GRPC_PATH)]
    return Starlette(routes=[*copies, Mount("/", app=page)])
