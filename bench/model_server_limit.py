"""What MS holds the drop-in server against, each in a process of its own.

``bare DIRECTORY QUESTIONS SECONDS`` loops over a version's prepared run, and over the same work with everything around
it but the network, and prints processor seconds a call as JSON.

``nothing --grpc_socket_path=… --rest_api_port=…`` serves the same two doors with an answer that is there already: what
the doors alone cost.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import grpc

from roost import process
from roost.adapters.tf_messages import predict_pb2
from serving.model_server.predict import predict, read_inputs
from serving.model_server.rest.answer import Answer
from serving.model_server.rest.http_server import HttpServer
from serving.model_server.rest.json_answers import predictions_body
from serving.model_server.rest.json_reader import parse_json
from serving.model_server.rest.json_requests import read_predict
from serving.model_server.rest.patience import Patience
from serving.model_server.runtime import RuntimeOptions
from serving.model_server.servable import LoadOptions, Servable
from serving.model_server.terms import Terms

#: Files of a questions' directory: the message, and the body, of the same request.
REQUEST, BODY = "request.bin", "body.json"

_ANSWER: Final = bytes(64)
_AT_ONCE: Final = 50
_THREADS: Final = 8
_TERMS: Final = Terms()


def bare(directory: Path, questions: Path, seconds: float) -> dict[str, float]:
    """Processor seconds a call, by what is called."""
    servable = Servable("bench", 1, directory, LoadOptions(tags=("serve",), runtime=RuntimeOptions()))
    signature = servable.signature("")
    wire, body = (questions / REQUEST).read_bytes(), (questions / BODY).read_bytes()
    inputs = read_inputs(signature, predict_pb2.PredictRequest.FromString(wire).inputs)

    def by_grpc() -> object:
        return predict(servable, predict_pb2.PredictRequest.FromString(wire), _TERMS).SerializeToString()

    def by_rest() -> object:
        asked = read_predict(parse_json(body), lambda _: signature.inputs)
        return predictions_body(signature.run([asked.inputs[alias] for alias in signature.inputs], ()))

    ways: dict[str, Callable[[], object]] = {
        "the run alone": lambda: signature.run(inputs, ()),
        "grpc, without network": by_grpc,
        "rest, without network": by_rest,
    }
    return {name: _seconds(way, seconds) for name, way in ways.items()}


def _seconds(call: Callable[[], object], seconds: float) -> float:
    for _ in range(_AT_ONCE):
        call()
    calls, begun, end = 0, time.process_time(), time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(_AT_ONCE):
            call()
        calls += _AT_ONCE
    return (time.process_time() - begun) / calls


class _Nothing(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    def service(self, _: object) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(lambda _, __: _ANSWER)


def nothing(socket: str, port: int) -> None:
    """Serve until SIGTERM."""
    over = threading.Event()
    process.obey_signals("nothing", over)
    server = grpc.server(ThreadPoolExecutor(_THREADS))
    server.add_generic_rpc_handlers((_Nothing(),))
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    rest = HttpServer(
        port=port, handle=lambda *_: Answer(status=200, body=_ANSWER), threads=_THREADS, patience=Patience()
    )
    rest.start()
    over.wait()
    server.stop(0).wait()


if __name__ == "__main__":
    if sys.argv[1] == "bare":
        print(json.dumps(bare(Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]))))
    else:
        flags = dict(argument.removeprefix("--").split("=", 1) for argument in sys.argv[2:])
        nothing(flags["grpc_socket_path"], int(flags["rest_api_port"]))
