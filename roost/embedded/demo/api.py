"""What the demo asks of the console's REST API: the same API as everybody's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import httpx

from deployer.console.fleet_views import FleetView
from deployer.console.views import CommandView, CustomerView, RolloutDetail, RolloutPage
from roost.contracts.errors import NotFound, Retryable, RoostError
from roost.contracts.rollout import Phase


class ConsoleUnavailable(Retryable):
    """The console did not answer."""


class Api:
    """A small client. Every method raises `ConsoleUnavailable`, and `NotFound` or `RoostError` as the API says."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url.rstrip("/") + "/api/v1", timeout=40, trust_env=False)

    def customer(self, customer: str) -> CustomerView:
        """Onboarding, what serves them, the newest rollout."""
        return CustomerView.model_validate_json(self._get(f"/customers/{customer}"))

    def rollouts(self, customer: str) -> RolloutPage:
        """A customer's, newest first."""
        return RolloutPage.model_validate_json(self._get("/rollouts", {"customer": customer}))

    def rollout(self, rollout_id: str) -> RolloutDetail:
        """One, with its history and verdict."""
        return RolloutDetail.model_validate_json(self._get(f"/rollouts/{rollout_id}"))

    def fleet(self) -> FleetView:
        """Pools and their nodes."""
        return FleetView.model_validate_json(self._get("/fleet"))

    def command(self, command: str, reason: str, **target: str) -> CommandView:
        """Give a command and wait for its outcome."""
        body = {"command": command, "actor": "demo", "reason": reason, **target}
        answer = self._answered(self._client.post("/commands", json=body, params={"wait": 30}))
        return CommandView.model_validate_json(answer)

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        try:
            return self._answered(self._client.get(path, params=query))
        except httpx.TransportError as error:
            raise ConsoleUnavailable(f"the console does not answer at {self._client.base_url}: {error}") from error

    def _answered(self, answer: httpx.Response) -> bytes:
        if answer.status_code < 400:
            return answer.content
        said = f"{answer.request.url.path}: {answer.status_code} {answer.text[:300]}"
        if answer.status_code >= 500:
            raise ConsoleUnavailable(said)
        raise NotFound(said) if answer.status_code == 404 else RoostError(said)


def entered(detail: RolloutDetail, phase: Phase) -> datetime | None:
    """When the rollout first entered that phase."""
    return next((line.at for line in detail.history if line.after is phase), None)
