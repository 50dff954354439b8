"""Whether the model server's REST API answers, as the gateway would reach it.

It has an accepting thread and a port of its own, so that gRPC's answers say nothing about it: the official server goes
on without REST where it cannot have the port, and says so in its log only.
"""

from __future__ import annotations

import http.client
import json
from typing import Final

from roost.contracts.errors import ModelServerUnavailable

#: Where it shows its metrics; it is told so when it is started.
METRICS_PATH: Final = "/monitoring/prometheus/metrics"
#: No model's name: every model server can say that it does not know it.
_NOBODY: Final = "roost.pulse"


class RestPort:
    """One port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port

    def check(self, *, deadline: float) -> None:
        """Ask for the status of a model, on a connection of its own; `deadline` in seconds, for each step of it.

        Raises:
            ModelServerUnavailable: nothing answers in time, or something else than TensorFlow Serving's REST API.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=deadline)
        try:
            connection.request("GET", f"/v1/models/{_NOBODY}")
            found = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException) as error:
            raise ModelServerUnavailable(f"{self} does not answer: {error or type(error).__name__}") from error
        except ValueError as error:
            raise ModelServerUnavailable(f"something else answers at {self}") from error
        finally:
            connection.close()
        if not isinstance(found, dict) or not found.keys() & {"error", "model_version_status"}:
            raise ModelServerUnavailable(f"something else answers at {self}")

    def metrics(self, *, deadline: float) -> str:
        """The server's metrics page. Raises `ModelServerUnavailable` where it is not to be had."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=deadline)
        try:
            connection.request("GET", METRICS_PATH)
            answer = connection.getresponse()
            page = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise ModelServerUnavailable(f"{self} does not answer: {error or type(error).__name__}") from error
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise ModelServerUnavailable(f"{self} shows no metrics: {answer.status}")
        return page

    def __str__(self) -> str:
        return f"the model server's REST port 127.0.0.1:{self._port}"
