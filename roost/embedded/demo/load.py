"""A steady load on one served name while something happens: how many requests, how many failed, which versions."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import httpx
import numpy as np

from roost.adapters.tf_serving import ModelServerClient
from roost.contracts.errors import RoostError
from roost.ports.serving import Tensors

#: One flight a request, as REST's row form has it.
Row = dict[str, object]


@dataclass(slots=True, kw_only=True)
class Report:
    """What the load saw."""

    total: int = 0
    failures: list[str] = field(default_factory=list)
    #: Version to answers, by gRPC, whose answers name it.
    versions: Counter[int] = field(default_factory=Counter)
    #: Seconds of each request that was answered.
    seconds: list[float] = field(default_factory=list)

    def quantile(self, q: float) -> float:
        """Milliseconds."""
        return float(np.quantile(self.seconds, q) * 1000) if self.seconds else float("nan")


def columns(rows: Sequence[Row]) -> Tensors:
    """Rows as tensors by name: strings as bytes, integers as int64, the rest as float32."""
    found = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if isinstance(values[0], str):
            found[name] = np.array([str(value).encode() for value in values], dtype=object)
        elif isinstance(values[0], int):
            found[name] = np.array(values, dtype=np.int64)
        else:
            found[name] = np.array(values, dtype=np.float32)
    return found


class Load:
    """Asks from a few threads, REST and gRPC in turn, until it is left."""

    def __init__(self, rest: str, grpc: str, name: str, rows: Sequence[Row], *, per_second: float = 60) -> None:
        self._rest, self._grpc, self._name, self._rows = rest, grpc, name, rows
        self._threads = [
            threading.Thread(target=work, args=(2 / per_second,), daemon=True)
            for work in (self._by_rest, self._by_grpc)
        ]
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.report = Report()

    def __enter__(self) -> Self:
        """Start asking."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and wait for the last answers."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=40)

    def answers_of(self, version: int) -> int:
        """How many answers that version has given so far."""
        with self._lock:
            return self.report.versions[version]

    def _by_rest(self, pause: float) -> None:
        url = f"http://{self._rest}/v1/models/{self._name}:predict"
        with httpx.Client(timeout=30, trust_env=False) as client:
            for row in itertools.cycle(self._rows):
                begun = time.perf_counter()
                try:
                    answer = client.post(url, json={"instances": [row]})
                    wrong = None if answer.status_code == 200 else f"REST {answer.status_code}: {answer.text[:200]}"
                except httpx.HTTPError as error:
                    wrong = f"REST: {error!r}"
                self._note(begun, None, wrong)
                if self._stop.wait(pause):
                    return

    def _by_grpc(self, pause: float) -> None:
        client = ModelServerClient(self._grpc)
        tensors = [columns([row]) for row in self._rows]
        for inputs in itertools.cycle(tensors):
            begun = time.perf_counter()
            version, wrong = None, None
            try:
                answer = client.predict(self._name, inputs, version=None, signature="serving_default", deadline=30)
                version = answer.version
            except RoostError as error:
                wrong = f"gRPC: {error}"
            self._note(begun, version, wrong)
            if self._stop.wait(pause):
                break
        client.close()

    def _note(self, begun: float, version: int | None, wrong: str | None) -> None:
        with self._lock:
            self.report.total += 1
            if wrong:
                self.report.failures.append(wrong)
                return
            self.report.seconds.append(time.perf_counter() - begun)
            if version is not None:
                self.report.versions[version] += 1
