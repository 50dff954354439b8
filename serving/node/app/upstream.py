"""The model server as the page asks it: over its Unix socket, bridging the moment in which it is replaced."""

from __future__ import annotations

from typing import Final, Protocol

from roost.adapters.tf_serving import Answer, ModelServerClient
from roost.contracts.errors import ModelServerUnavailable
from roost.ports.clock import Clock
from roost.ports.serving import Tensors
from serving.node.app.checking import SIGNATURE

#: As long as the gateway lets any request take.
_ANSWER_SECONDS: Final = 30.0
#: As long as the gateway bridges a model server that is not there, and how often it is looked for.
_BRIDGED_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.1
#: gRPC's words for a call that never left: only that may be asked again, since a request that broke off on its way may
#: be what ended the server. Words that change one day cost the bridge, not more.
_NEVER_LEFT: Final = "failed to connect"


class Upstream(Protocol):
    """Answers predictions."""

    def predict(self, name: str, inputs: Tensors, *, version: int | None) -> Answer:
        """Outputs, of `version` or with None of the version labelled ``stable``.

        Raises:
            ModelServerUnavailable: not there, or no answer in time.
            Permanent: refused; the text is the server's own.
        """


class ModelServerUpstream:
    """`Upstream` over gRPC. Safe for threads."""

    def __init__(self, client: ModelServerClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    def predict(self, name: str, inputs: Tensors, *, version: int | None) -> Answer:
        """One prediction; a call that finds no server is made again for two seconds."""
        end = self._clock.monotonic() + _BRIDGED_SECONDS
        while True:
            try:
                return self._client.predict(
                    name, inputs, version=version, signature=SIGNATURE, deadline=_ANSWER_SECONDS
                )
            except ModelServerUnavailable as error:
                if _NEVER_LEFT not in str(error) or self._clock.monotonic() >= end:
                    raise
                self._clock.wait(_LOOK_SECONDS)
