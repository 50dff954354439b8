"""What MS holds the drop-in server against, each in a process of its own.

``bare DIRECTORY QUESTIONS SECONDS`` loops over a version's prepared run, and over the same work with everything around
it but the network, and prints processor seconds a call as JSON.

``nothing --grpc_socket_path=… --rest_api_port=…`` serves the same two doors with an answer that is there already: what
the doors alone cost.
"""

from __future__ import annotations

import argparse
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


def main(arguments: list[str]) -> None:
    """Entry of `python -m bench.model_server_limit`."""
    parser = argparse.ArgumentParser(prog="python -m bench.model_server_limit", description=__doc__.splitlines()[0])
    which = parser.add_subparsers(dest="which", required=True)
    alone = which.add_parser("bare", help="processor seconds a call of a version's prepared run")
    for name, kind in (("directory", Path), ("questions", Path), ("seconds", float)):
        alone.add_argument(name, metavar=name.upper(), type=kind)
    doors = which.add_parser("nothing", help="two doors whose answer is there already")
    doors.add_argument("--grpc_socket_path", required=True)
    doors.add_argument("--rest_api_port", type=int, required=True)
    # What else a model server is started with means nothing here.
    asked, _ = parser.parse_known_args(arguments)
    if asked.which == "bare":
        print(json.dumps(bare(asked.directory, asked.questions, asked.seconds)))
    else:
        nothing(asked.grpc_socket_path, asked.rest_api_port)


if __name__ == "__main__":
    main(sys.argv[1:])
