"""The same flights asked of every replica, by REST and by gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import httpx
import numpy as np
from numpy.typing import NDArray

from roost.adapters.tf_serving import ModelServerClient
from roost.contracts.errors import ModelServerUnavailable, Permanent, RoostError
from roost.embedded.demo.load import Row, columns

SIGNATURE = "serving_default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """One address's answer to several rows."""

    version: int
    scores: NDArray[np.float64]


def by_grpc(address: str, name: str, rows: Sequence[Row]) -> Answers:
    """Ask with the label ``stable``. Raises `ModelServerUnavailable` or `Permanent`."""
    client = ModelServerClient(address)
    try:
        answer = client.predict(name, columns(rows), version=None, signature=SIGNATURE, deadline=10)
    finally:
        client.close()
    (scores,) = answer.outputs.values()
    return Answers(version=answer.version, scores=np.asarray(scores, dtype=np.float64).reshape(-1))


def by_rest(address: str, name: str, rows: Sequence[Row]) -> NDArray[np.float64]:
    """Ask in TensorFlow Serving's row form, naming neither version nor label."""
    try:
        answer = httpx.post(
            f"http://{address}/v1/models/{name}:predict", json={"instances": list(rows)}, timeout=10, trust_env=False
        )
    except httpx.TransportError as error:
        raise ModelServerUnavailable(f"{address}: {error}") from error
    if answer.status_code != 200:
        raise Permanent(f"{address}: {answer.status_code} {answer.text[:200]}")
    return np.asarray(answer.json()["predictions"], dtype=np.float64).reshape(-1)


def all_answer(addresses: Sequence[str], name: str, rows: Sequence[Row], version: int) -> bool:
    """Whether every gRPC address answers with exactly that version."""
    try:
        return all(by_grpc(address, name, rows[:1]).version == version for address in addresses)
    except RoostError:
        return False
