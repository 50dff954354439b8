"""How a status of the server ends a gRPC call."""

import logging
from collections.abc import Callable
from typing import NoReturn, TypeVar

import grpc

from serving.model_server.statuses import Code, StatusError

_LOG = logging.getLogger(__name__)

_GRPC_CODES = {code.value[0]: code for code in grpc.StatusCode}

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


def abort(context: grpc.ServicerContext, error: StatusError) -> NoReturn:
    """End the call with the error's code, and its message cut to what the official server sends."""
    context.abort(_GRPC_CODES[int(error.code)], error.shortened)
    raise AssertionError("abort always raises")


def answer(work: Callable[[RequestT], ResponseT], request: RequestT, context: grpc.ServicerContext) -> ResponseT:
    """Return what the work makes of the request, or end the call with its StatusError; INTERNAL for a surprise."""
    try:
        return work(request)
    except StatusError as error:
        failure = error
    except Exception as error:  # noqa: BLE001  (it ends as this call's answer)
        _LOG.exception("A call failed")
        failure = StatusError(Code.INTERNAL, f"{type(error).__name__}: {error}")
    abort(context, failure)
