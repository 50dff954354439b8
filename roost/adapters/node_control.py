"""A node's control port, over HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

import httpx
from pydantic import SecretStr, ValidationError

from roost.contracts.acks import NodeState
from roost.contracts.errors import NodeUnavailable
from roost.contracts.incremental import Parser
from roost.contracts.traffic import Answered
from roost.ports.serving import NodeAddress

#: A node answers a long poll at its end; the network may take this much longer. Seconds.
_SLACK = 1.0
#: Beyond this an answer is no node's state.
_MAX_ANSWER_BYTES = 64 * 1024 * 1024
#: Each remembers its node's last answer: some kilobytes a model.
_MOST_PARSERS = 32


class HttpNodeControl:
    """A `NodeControl` that keeps its connections open. Safe for many threads."""

    def __init__(self, token: SecretStr | None = None) -> None:
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        # A node is reached directly: a proxy of the environment is never meant.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=256)
        self._client = httpx.Client(headers=headers, trust_env=False, limits=limits)
        self._parsers = _Parsers()

    def state(self, node: NodeAddress, *, deadline: float) -> NodeState:
        """What the node says now."""
        return self._parsed(node, self._ask(node, "GET", "/state", deadline=deadline))

    def nudge(self, node: NodeAddress, generation: int, *, deadline: float) -> None:
        """Say that `generation` is there."""
        self._ask(node, "POST", "/nudge", deadline=deadline, body={"generation": generation})

    def await_settled(self, node: NodeAddress, generation: int, *, deadline: float) -> NodeState:
        """The node's state once it has settled `generation` or a newer one, or at `deadline` seconds."""
        path = f"/state?settled={generation}&wait={max(0.0, deadline):.3f}"
        return self._parsed(node, self._ask(node, "GET", path, deadline=deadline + _SLACK))

    def drain(self, node: NodeAddress, *, deadline: float) -> None:
        """Ask the node to answer `/readyz` with 503 and finish what it has."""
        self._ask(node, "POST", "/drain", deadline=deadline)

    def restart(self, node: NodeAddress, *, deadline: float) -> None:
        """Ask the node for a fresh model server. Returns once accepted."""
        self._ask(node, "POST", "/restart", deadline=deadline)

    def answered(self, node: NodeAddress, name: str, *, deadline: float) -> Answered:
        """What the node's model server has answered under this served name since it started."""
        content = self._ask(node, "GET", f"/answered/{name}", deadline=deadline)
        try:
            return Answered.model_validate_json(content)
        except ValidationError as error:
            raise NodeUnavailable(f"node {node.node} at {node.control} did not answer with its counts") from error

    def mirror(
        self, node: NodeAddress, name: str, to: NodeAddress, *, percent: float, seconds: float, deadline: float
    ) -> None:
        """Have the node copy a share of the name's requests to another node's gateway."""
        body: dict[str, float | str] = {"percent": percent, "rest": to.rest, "grpc": to.grpc, "seconds": seconds}
        self._ask(node, "PUT", f"/mirrors/{name}", deadline=deadline, body=body)

    def unmirror(self, node: NodeAddress, name: str, *, deadline: float) -> None:
        """Have the node copy no more of its requests."""
        self._ask(node, "DELETE", f"/mirrors/{name}", deadline=deadline)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _parsed(self, node: NodeAddress, content: bytes) -> NodeState:
        try:
            return self._parsers.of(node.control).received(content)
        except ValidationError as error:
            raise NodeUnavailable(f"node {node.node} at {node.control} did not answer with its state") from error

    def _ask(
        self,
        node: NodeAddress,
        method: str,
        path: str,
        *,
        deadline: float,
        body: Mapping[str, float | str] | None = None,
    ) -> bytes:
        # httpx counts its time-outs per read; a node that trickles must not hold the caller for longer either.
        end = time.monotonic() + deadline
        content = bytearray()
        try:
            url = f"http://{node.control}{path}"
            with self._client.stream(method, url, json=body, timeout=max(0.001, deadline)) as response:
                for chunk in response.iter_bytes():
                    content += chunk
                    if time.monotonic() > end or len(content) > _MAX_ANSWER_BYTES:
                        raise NodeUnavailable(f"node {node.node} at {node.control} did not finish its answer in time")
        except httpx.TimeoutException as error:
            raise NodeUnavailable(f"node {node.node} at {node.control} did not answer within {deadline:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NodeUnavailable(f"node {node.node} at {node.control} is not reached: {error}") from error
        if response.status_code >= httpx.codes.BAD_REQUEST:
            said = bytes(content[:200]).decode(errors="replace")
            raise NodeUnavailable(f"node {node.node} at {node.control} answered {response.status_code}: {said}")
        return bytes(content)


class _Parsers:
    """One for each node: an answer is mostly like the same node's last. Those of nodes that went are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, Parser[NodeState]] = {}

    def of(self, address: str) -> Parser[NodeState]:
        """The one of this control port."""
        with self._lock:
            parser = self._of.pop(address, None) or Parser(NodeState)
            self._of[address] = parser
            if len(self._of) > _MOST_PARSERS:
                del self._of[next(iter(self._of))]
        return parser
