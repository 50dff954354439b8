"""The REST API as the command line uses it: one address, one token, errors as one clear line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from deployer.console.views import EventView, Problem
from roost.contracts.errors import Permanent, Retryable
from roost.settings import ConsoleSettings

Shape = TypeVar("Shape", bound=BaseModel)
Parameters = dict[str, str | int | list[str]]

#: Seconds for an answer, beside what a command is waited for.
_ANSWER_SECONDS = 15.0


class ConsoleUnreachable(Retryable):
    """The console does not answer."""


class ConsoleRefused(Permanent):
    """The console answered with a problem document."""


class ConsoleClient:
    """Asks one console."""

    def __init__(self, settings: ConsoleSettings, transport: httpx.BaseTransport | None = None) -> None:
        """Connects to nothing yet. `transport` replaces the network, as a test may."""
        token = settings.token.get_secret_value() if settings.token else None
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._url = settings.url.rstrip("/")
        # A proxy of the environment must not see, or break, what goes to this address.
        self._http = httpx.Client(
            base_url=self._url, headers=headers, timeout=_ANSWER_SECONDS, trust_env=False, transport=transport
        )

    def get(self, shape: type[Shape], path: str, parameters: Parameters | None = None) -> Shape:
        """One answer. Raises `ConsoleUnreachable`, `ConsoleRefused`."""
        with self._translated():
            return shape.model_validate_json(_content(self._http.get(f"/api/v1/{path}", params=parameters)))

    def post(self, shape: type[Shape], path: str, body: dict[str, object], *, key: str, wait: float) -> Shape:
        """Send a command; the same `key` again is harmless, so a lost answer is asked for once more."""
        headers = {"Idempotency-Key": key}
        timeout = _ANSWER_SECONDS + wait
        with self._translated():
            for last in (False, True):
                try:
                    answer = self._http.post(
                        f"/api/v1/{path}", json=body, headers=headers, params={"wait": wait}, timeout=timeout
                    )
                    break
                except (httpx.ReadError, httpx.RemoteProtocolError):
                    if last:
                        raise
            return shape.model_validate_json(_content(answer))

    def follow(self, after: int) -> Iterator[EventView]:
        """Events above `after`, then each as it comes, until the console ends the stream."""
        timeout = httpx.Timeout(_ANSWER_SECONDS, read=60.0)
        with (
            self._translated(),
            self._http.stream("GET", "/api/v1/events/stream", params={"after": after}, timeout=timeout) as answer,
        ):
            if answer.status_code >= 400:
                answer.read()
                _content(answer)
            for line in answer.iter_lines():
                if line.startswith("data:"):
                    yield EventView.model_validate_json(line[5:])

    def close(self) -> None:
        """Give the connection back."""
        self._http.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise ConsoleUnreachable(
                f"the console at {self._url} does not answer ({error or type(error).__name__}); "
                "start the stack with `roost up`, see `roost status`, or set ROOST_CONSOLE__URL"
            ) from error
        except ValidationError as error:
            raise ConsoleRefused(
                f"what answers at {self._url} is not this version's console; check ROOST_CONSOLE__URL"
            ) from error


def _content(answer: httpx.Response) -> bytes:
    if answer.status_code < 400:
        return answer.content
    try:
        problem = Problem.model_validate(json.loads(answer.content))
    except (ValueError, ValidationError):
        raise ConsoleRefused(
            f"{answer.request.url} answered {answer.status_code}; is ROOST_CONSOLE__URL the console's address?"
        ) from None
    raise ConsoleRefused(f"{problem.detail}. {problem.remedy}")
