"""Requests of one customer that the model server has at a time: what is beyond waits, and others are answered."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import httpx
import pytest

from roost.adapters.tf_messages import predict_pb2
from roost.settings import GatewaySettings
from serving.gateway.config import GatewayConfig
from serving.gateway.render import render
from tests.integration.gateway.asking import PREDICT
from tests.integration.gateway.running import Running, configured, running, started

pytestmark = pytest.mark.integration

LIMIT, ASKED, OTHERS = 3, 12, 12
#: Seconds that the hot customer's requests are waited for, on a machine that does much else; and others', who are asked
#: all at once: only whoever shares the hot one's lane needs all of it.
PATIENCE, OTHERS_PATIENCE = 90.0, 30.0


@dataclass
class Busy:
    """A model server that works on the hot customer's requests until it is told to go on."""

    go_on: threading.Event = field(default_factory=threading.Event)
    under_way: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def work(self, api: str, name: str) -> None:
        """Answer at once, unless it is the hot customer's."""
        if not name.startswith("hot."):
            return
        with self.lock:
            self.under_way[api] += 1
            self.most[api] = max(self.most[api], self.under_way[api])
        self.go_on.wait(PATIENCE)
        with self.lock:
            self.under_way[api] -= 1


@contextmanager
def a_model_server(busy: Busy, socket: Path) -> Iterator[str]:
    """Both APIs; the address of the REST one."""

    class Slow(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            busy.work("rest", self.path.removeprefix("/v1/models/"))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class SlowCalls(grpc.GenericRpcHandler):
        def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            def answer(request: bytes, _: grpc.ServicerContext) -> bytes:
                busy.work("grpc", predict_pb2.PredictRequest.FromString(request).model_spec.name)
                return request

            return grpc.unary_unary_rpc_method_handler(answer)

    calls = grpc.server(ThreadPoolExecutor(4 * ASKED))
    calls.add_generic_rpc_handlers([SlowCalls()])
    calls.add_insecure_port(f"unix:{socket}")
    calls.start()
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as rest:
        rest.daemon_threads = True
        thread = threading.Thread(target=rest.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"127.0.0.1:{rest.server_port}"
        finally:
            busy.go_on.set()
            rest.shutdown()
            thread.join(60)
            calls.stop(1).wait(60)


def by_rest(gateway: Running, name: str, seconds: float) -> bool:
    """Whether it is answered within so many seconds."""
    try:
        url = f"http://{gateway.config.rest}/v1/models/{name}:predict"
        return httpx.post(url, json={}, timeout=seconds).status_code == 200
    except httpx.ReadTimeout:
        return False


def by_grpc(gateway: Running, name: str, seconds: float) -> bool:
    """The same by gRPC."""
    request = predict_pb2.PredictRequest(model_spec={"name": name}).SerializeToString()
    try:
        gateway.call(PREDICT, request, seconds=seconds)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
            raise
        return False
    return True


def _patient(config: GatewayConfig) -> str:
    """The gateway's configuration, but with requests that may take as long as this test waits."""
    rendered = render(config)
    changed = rendered.replace('"timeout": "30s"', f'"timeout": "{PATIENCE:g}s"')
    assert changed != rendered
    return changed


def test_a_hot_customer_has_so_many_requests_under_way_and_no_more_while_others_are_answered(tmp_path: Path):
    busy = Busy()
    settings = GatewaySettings(customer_in_flight=LIMIT)
    with a_model_server(busy, tmp_path / "model.sock") as rest, ThreadPoolExecutor(4 * ASKED) as pool:
        config = configured(tmp_path, socket=tmp_path / "model.sock", rest=rest, settings=settings)
        with started(config, _patient(config)) as it:
            hot = [pool.submit(ask, it, "hot.default", PATIENCE) for ask in (by_rest, by_grpc) for _ in range(ASKED)]
            _await(lambda: it.admin.in_flight() == 2 * ASKED)
            _await(lambda: busy.under_way == {"rest": LIMIT, "grpc": LIMIT})

            names = [f"c{number}.default" for number in range(OTHERS)]
            others = [pool.submit(ask, it, name, OTHERS_PATIENCE) for ask in (by_rest, by_grpc) for name in names]
            served = [each.result(PATIENCE) for each in others]

            # Whoever has the hot customer's lane waits with it: with 64 lanes seldom anybody.
            assert served.count(True) >= 2 * OTHERS - 2
            busy.go_on.set()
            assert all(each.result(PATIENCE) for each in hot)
    assert busy.most == {"rest": LIMIT, "grpc": LIMIT}


def test_without_a_limit_a_hot_customer_has_all_of_its_requests_under_way(tmp_path: Path):
    busy = Busy()
    with (
        a_model_server(busy, tmp_path / "model.sock") as rest,
        ThreadPoolExecutor(2 * ASKED) as pool,
        running(configured(tmp_path, socket=tmp_path / "model.sock", rest=rest)) as it,
    ):
        hot = [pool.submit(ask, it, "hot.default", PATIENCE) for ask in (by_rest, by_grpc) for _ in range(ASKED)]
        _await(lambda: busy.under_way == {"rest": ASKED, "grpc": ASKED})
        busy.go_on.set()
        assert all(each.result(PATIENCE) for each in hot)


def _await(holds: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to that in time"
        time.sleep(0.02)
